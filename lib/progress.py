"""Where a training is at, for whoever watches: a runner, a terminal, a log.

A notebook's kernel has no terminal of its own. When a runner started it, the runner names a file in
WRITEUP_PROGRESS and every event is appended there as one line of JSON; otherwise one line per epoch is
printed.
"""

import json
import os
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from lib.experiment import Experiment
from lib.training import Epoch

VARIABLE = "WRITEUP_PROGRESS"


@dataclass(frozen=True)
class Event:
    """One finished epoch of one run."""

    run: int  # runs finished or under way, from 1
    runs: int  # runs to train in this sweep; stored ones do not count
    title: str
    epoch: int
    epochs: int
    test_accuracy: float  # fraction
    images_per_second: float  # of all workers together
    seconds_left: float  # for the whole sweep, from the epochs done so far

    def line(self) -> str:
        """The event as people read it."""
        left = time.strftime("%M:%S", time.gmtime(self.seconds_left))
        if self.seconds_left >= 3600:
            left = f"{int(self.seconds_left // 3600)}:{left}"
        return (
            f"run {self.run}/{self.runs} · {self.title} · epoch {self.epoch}/{self.epochs} · "
            f"test {self.test_accuracy:.1%} · {self.images_per_second:,.0f} images/s · {left} left"
        )


class Progress:
    """Turns finished epochs into events, for the runs that a sweep has to train."""

    def __init__(self, missing: Sequence[Experiment], workers: int = 1):
        self._numbers = {e.key: n for n, e in enumerate(missing, start=1)}
        self._epochs = sum(e.epochs for e in missing)
        self._workers = workers
        self._done = 0
        self._resumed = 0
        self._seen: set[str] = set()
        self._start = time.monotonic()

    def __call__(self, experiment: Experiment, epoch: Epoch) -> None:
        if experiment.key not in self._seen:
            self._seen.add(experiment.key)
            self._resumed += epoch.epoch - 1  # from a checkpoint: done, but not in the time since the start
        self._done += 1
        left = self._epochs - self._done - self._resumed
        emit(
            Event(
                run=self._numbers[experiment.key],
                runs=len(self._numbers),
                title=experiment.title,
                epoch=epoch.epoch,
                epochs=experiment.epochs,
                test_accuracy=epoch.test.accuracy,
                images_per_second=epoch.images_per_second * self._workers,
                seconds_left=max(0.0, left * (time.monotonic() - self._start) / self._done),
            )
        )


def emit(event: Event) -> None:
    """Tell the runner where there is one, else print a line."""
    if file := os.environ.get(VARIABLE):
        with Path(file).open("a") as stream:
            stream.write(json.dumps(asdict(event)) + "\n")
    else:
        print(event.line(), flush=True)


def read(lines: str) -> list[Event]:
    """The events in complete lines of a progress file."""
    return [Event(**json.loads(line)) for line in lines.splitlines()]
