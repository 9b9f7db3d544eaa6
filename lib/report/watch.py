"""Progress of a kernel in the runner's terminal, and the memory that it takes."""

import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from rich.console import Console

from lib.runs import progress

_EVERY = 1.0  # seconds between two looks: measuring takes some milliseconds, which a benchmark would notice


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
def watch(label: str, peak: Peak) -> Iterator[None]:
    """Show the progress of the kernel that the block runs: one changing line on a terminal, else a line per run.

    Args:
        label: the start of the line, such as the notebook's name.
        peak: measured meanwhile.
    """
    done = threading.Event()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "progress.jsonl"
        file.touch()
        os.environ[progress.VARIABLE] = str(file)
        follower = threading.Thread(target=_follow, args=(file, label, peak, done), daemon=True)
        follower.start()
        try:
            yield
        finally:
            done.set()
            follower.join()
            del os.environ[progress.VARIABLE]


def _follow(file: Path, label: str, peak: Peak, done: threading.Event) -> None:
    console = Console(file=sys.stdout, highlight=False, soft_wrap=True)
    if console.is_terminal:
        with console.status(label) as status:
            for event in _events(file, peak, done):
                status.update(f"{label} · {event.line()}{f' · {event.dashboard}' if event.dashboard else ''}")
    else:
        for event in _events(file, peak, done):
            if event.worth_a_line:
                console.print(f"{label} · {event.line()}")


def _events(file: Path, peak: Peak, done: threading.Event) -> Iterator[progress.Event]:
    with file.open() as stream:
        rest = ""
        while True:
            last_look = done.is_set()
            peak.look()
            lines, newline, rest = (rest + stream.read()).rpartition("\n")
            yield from progress.read(lines + newline)
            if last_look:
                return
            done.wait(_EVERY)
