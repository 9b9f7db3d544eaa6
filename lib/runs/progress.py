"""Progress of a sweep, for a runner, a terminal or a log.

A notebook's kernel has no terminal. A runner that starts one names a file in WRITEUP_PROGRESS, and every event is
appended there as one line of JSON; without it, one line per finished run is printed, or one per epoch of a single run.
"""

import json
import os
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from lib.experiment import Experiment
from lib.training import Epoch

VARIABLE = "WRITEUP_PROGRESS"


@dataclass(frozen=True)
class Event:
    """One finished epoch of one run."""

    done: int  # runs that are over
    running: int
    runs: int  # runs to train in this sweep; stored ones do not count
    title: str
    epoch: int
    epochs: int
    test_accuracy: float  # fraction
    images_per_second: float  # of all workers together
    seconds_left: float  # for the whole sweep, from the epochs done so far
    dashboard: str = ""  # link to Dask's display of its workers

    @property
    def worth_a_line(self) -> bool:
        """True for what a log shows: every epoch of a single run, the last epoch of each of several."""
        return self.runs == 1 or self.epoch == self.epochs

    def line(self) -> str:
        """Return the event as a line for readers."""
        left = time.strftime("%M:%S", time.gmtime(self.seconds_left))
        if self.seconds_left >= 3600:
            left = f"{int(self.seconds_left // 3600)}:{left}"
        waiting = self.runs - self.done - self.running
        sweep = f"{self.done}/{self.runs} runs done, {self.running} running, {waiting} waiting · "
        if self.runs == 1:
            sweep = ""
        return (
            f"{sweep}{self.title} · epoch {self.epoch}/{self.epochs} · test {self.test_accuracy:.1%} · "
            f"{self.images_per_second:,.0f} images/s · {left} left"
        )


class Progress:
    """Turn finished epochs into events, for the runs that a sweep has to train."""

    def __init__(self, missing: Sequence[Experiment], tell: Callable[[Event], None] | None = None):
        self._tell = tell or emit
        self.dashboard = ""
        self.workers = 1
        self._left = {e.key: e.epochs for e in missing}  # epochs to go, by run
        self._rates: deque[float] = deque(maxlen=64)  # images per second of the latest epochs
        self._runs = len(missing)
        self._epochs = 0  # done since the start
        self._start = time.monotonic()

    def __call__(self, experiment: Experiment, epoch: Epoch) -> None:
        key = experiment.key
        self._epochs += 1
        self._rates.append(epoch.images_per_second)
        self._left[key] = experiment.epochs - epoch.epoch  # goes up again when a run loses its worker
        if not self._left[key]:
            self.ended(experiment)
        running = min(self.workers, len(self._left))
        latest = list(self._rates)[-self.workers :]
        self._tell(
            Event(
                done=self._runs - len(self._left),
                running=running,
                runs=self._runs,
                title=experiment.title,
                epoch=epoch.epoch,
                epochs=experiment.epochs,
                test_accuracy=epoch.test.accuracy,
                images_per_second=sum(latest) / len(latest) * max(1, running),
                seconds_left=sum(self._left.values()) * (time.monotonic() - self._start) / self._epochs,
                dashboard=self.dashboard,
            )
        )

    def ended(self, experiment: Experiment) -> None:
        """Note that a run is over, also one that failed or that another program has trained."""
        self._left.pop(experiment.key, None)


def emit(event: Event) -> None:
    """Append the event to the runner's file; print a line if there is no runner."""
    if file := os.environ.get(VARIABLE):
        with Path(file).open("a") as stream:
            stream.write(json.dumps(asdict(event)) + "\n")
    elif event.worth_a_line:
        print(event.line(), flush=True)


def read(lines: str) -> list[Event]:
    """Return the events in complete lines of a progress file."""
    return [Event(**json.loads(line)) for line in lines.splitlines()]
