"""Progress of a sweep, for a runner, a terminal or a log.

A notebook's kernel has no terminal. A runner that starts one names a file in WRITEUP_PROGRESS, and every event is
appended there as one line of JSON; without it, one line per finished run is printed, or one per epoch of a single run.
"""

import json
import os
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from lib.experiment import Experiment
from lib.training import Epoch

VARIABLE = "WRITEUP_PROGRESS"


class Event(NamedTuple):
    """One finished epoch of one run, and the state of the sweep."""

    line: str
    worth_a_line: bool  # in a log: every epoch of a single run, the last epoch of each of several


class Progress:
    """Turn finished epochs into events, for the runs that a sweep has to train; stored ones do not count."""

    def __init__(self, missing: Sequence[Experiment], tell: Callable[[Event], None] | None = None):
        self.tell = tell or emit
        self.printed = not tell and VARIABLE not in os.environ  # events are lines of this process's output
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
        if ended := not self._left[key]:
            self.ended(experiment)
        running = min(self.workers, len(self._left))
        done, waiting = self._runs - len(self._left), len(self._left) - running
        sweep = f"{done}/{self._runs} runs done, {running} running, {waiting} waiting · " if self._runs > 1 else ""
        latest = list(self._rates)[-self.workers :]
        rate = sum(latest) / len(latest) * max(1, running)  # of all workers together
        seconds = sum(self._left.values()) * (time.monotonic() - self._start) / self._epochs  # left for the sweep
        line = (
            f"{sweep}{experiment.title} · epoch {epoch.epoch}/{experiment.epochs} · test {epoch.test.accuracy:.1%} · "
            f"{rate:,.0f} images/s · {readable(seconds)} left"
        )
        self.tell(Event(line, self._runs == 1 or ended))

    def ended(self, experiment: Experiment) -> None:
        """Note that a run is over, also one that failed or that another program has trained."""
        self._left.pop(experiment.key, None)


def readable(seconds: float) -> str:
    """Return a duration as minutes and seconds, with hours where there are any."""
    hours = f"{int(seconds // 3600)}:" if seconds >= 3600 else ""
    return hours + time.strftime("%M:%S", time.gmtime(seconds))


def emit(event: Event) -> None:
    """Append the event to the runner's file; print a line if there is no runner."""
    if file := os.environ.get(VARIABLE):
        with Path(file).open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(event) + "\n")
    elif event.worth_a_line:
        print(event.line, flush=True)


def read(lines: str) -> list[Event]:
    """Return the events in complete lines of a progress file."""
    return [Event(*json.loads(line)) for line in lines.splitlines()]
