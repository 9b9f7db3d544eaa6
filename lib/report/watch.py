"""Progress of a kernel in the runner's terminal."""

import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from lib.runs import progress

_EVERY = 0.3  # seconds between two looks


@contextmanager
def watch(label: str) -> Iterator[None]:
    """Show the progress of the kernel that the block runs: one changing line on a terminal, else a line per run.

    Args:
        label: the start of the line, such as the notebook's name.
    """
    console = Console(file=sys.stdout, highlight=False, soft_wrap=True)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "progress.jsonl"
        file.touch()
        os.environ[progress.VARIABLE] = str(file)
        done = threading.Event()
        follower = threading.Thread(target=_follow, args=(file, label, console, done), daemon=True)
        follower.start()
        try:
            yield
        finally:
            done.set()
            follower.join()
            del os.environ[progress.VARIABLE]


def _follow(file: Path, label: str, console: Console, done: threading.Event) -> None:
    if console.is_terminal:
        with console.status(label) as status:
            for event in _events(file, done):
                status.update(f"{label} · {event.line()}{f' · {event.dashboard}' if event.dashboard else ''}")
    else:
        for event in _events(file, done):
            if event.worth_a_line:
                console.print(f"{label} · {event.line()}")


def _events(file: Path, done: threading.Event) -> Iterator[progress.Event]:
    with file.open() as stream:
        rest = ""
        while True:
            last_look = done.is_set()
            lines, newline, rest = (rest + stream.read()).rpartition("\n")
            yield from progress.read(lines + newline)
            if last_look:
                return
            done.wait(_EVERY)
