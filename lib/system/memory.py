"""Memory of processes, and what the C library does with freed memory."""

import ctypes
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import psutil

_EVERY = 2.0  # seconds between two measurements: each takes some milliseconds, which a benchmark would notice


@dataclass(frozen=True)
class Footprint:
    """Memory of one process, in bytes."""

    resident: int  # all that is in physical memory, mapped files included
    private: int  # the part that no other process shares

    @classmethod
    def of(cls, process: psutil.Process) -> "Footprint":
        used = process.memory_full_info()
        return cls(used.rss, used.uss)


def peak_resident() -> int:
    """Return the most physical memory that this process has held, in bytes."""
    status = Path("/proc/self/status")
    if status.exists():
        # Not getrusage: on Linux a process starts with the peak of the one that it was forked from.
        lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
        return int(lines["VmHWM"].split()[0]) * 1024
    import resource  # not on Windows

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


class Peak:
    """The most memory, in bytes, that the children of this process used together.

    Files that they have mapped (libraries, the data set) are counted once, as the most that one of them has mapped.
    """

    bytes = 0

    def look(self) -> None:
        own, files = 0, [0]
        for child in psutil.Process().children(recursive=True):
            try:
                used = child.memory_info()
            except psutil.Error:  # it has ended meanwhile
                continue
            files.append(getattr(used, "shared", 0))  # on Linux alone
            own += used.rss - files[-1]
        self.bytes = max(self.bytes, own + max(files))


@contextmanager
def peak_of_children(peak: Peak) -> Iterator[None]:
    """Measure this process's children, and theirs, every two seconds while the block runs."""
    done = threading.Event()

    def follow() -> None:
        peak.look()
        while not done.wait(_EVERY):
            peak.look()

    follower = threading.Thread(target=follow, daemon=True)
    follower.start()
    try:
        yield
    finally:
        done.set()
        follower.join()


_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of mallopt(3)
_KEPT = 2**30  # bytes
_MOST_OF_OLDER_VERSIONS = 2**25


@cache
def keep_freed_memory() -> None:
    """Let this process reuse what a step has freed; does nothing where the C library is not glibc.

    Every step allocates and frees the same activations. By its defaults glibc returns large ones to the system,
    depending on what was allocated before, and pays for them page by page at the next step.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # musl, macOS, Windows
        return
    if not mallopt(_M_MMAP_THRESHOLD, _KEPT):
        mallopt(_M_MMAP_THRESHOLD, _MOST_OF_OLDER_VERSIONS)
    mallopt(_M_TRIM_THRESHOLD, _KEPT)
