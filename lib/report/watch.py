"""Progress of a kernel in the runner's terminal, and the memory that it takes."""

import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

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
    with tempfile.NamedTemporaryFile("r", suffix=".jsonl") as events:
        os.environ[progress.VARIABLE] = events.name
        follower = threading.Thread(target=_follow, args=(events, label, peak, done), daemon=True)
        follower.start()
        try:
            yield
        finally:
            done.set()
            follower.join()
            del os.environ[progress.VARIABLE]


def _follow(events: IO[str], label: str, peak: Peak, done: threading.Event) -> None:
    console = Console(file=sys.stdout, highlight=False, soft_wrap=True)
    rest, over = "", False
    with console.status(label) as status:
        while not over:
            over = done.is_set()  # asked before the last look, which then misses nothing
            peak.look()
            lines, newline, rest = (rest + events.read()).rpartition("\n")
            for event in progress.read(lines + newline):
                status.update(f"{label} · {event.line()}{f' · {event.dashboard}' if event.dashboard else ''}")
                if event.worth_a_line and not console.is_terminal:
                    console.print(f"{label} · {event.line()}")
            done.wait(_EVERY)
