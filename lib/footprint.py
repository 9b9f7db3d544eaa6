"""Memory of processes."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psutil

_EVERY = 0.5  # seconds between two looks


@dataclass(frozen=True)
class Footprint:
    """Memory of one process, in bytes."""

    resident: int  # all that is in physical memory, mapped files included
    private: int  # the part that no other process shares
    proportional: int  # private, and of what is shared its part; these add up over processes

    @classmethod
    def of(cls, process: psutil.Process) -> "Footprint":
        """Now. Where the system does not tell proportional sizes (macOS, Windows) they are the private ones."""
        used = process.memory_full_info()
        return cls(used.rss, used.uss, getattr(used, "pss", used.uss))


class Peak:
    """The most memory, in bytes, that the children of this process used together."""

    bytes = 0

    def look(self) -> None:
        total = 0
        for child in psutil.Process().children(recursive=True):
            try:
                total += Footprint.of(child).proportional
            except psutil.Error:  # it has just ended
                continue
        self.bytes = max(self.bytes, total)


@contextmanager
def peak_of_children(peak: Peak) -> Iterator[None]:
    """While the block runs, let `peak` look at this process's children (and theirs) twice a second."""
    done = threading.Event()

    def follow() -> None:
        while not done.wait(_EVERY):
            peak.look()

    follower = threading.Thread(target=follow, daemon=True)
    follower.start()
    try:
        yield
    finally:
        done.set()
        follower.join()
