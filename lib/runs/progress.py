"""Progress of a sweep, for a runner, a terminal or a log.

A notebook's kernel has no terminal. A runner that starts one names a file in WRITEUP_PROGRESS, and every event is
appended there as one line of JSON; without it, one line per finished run is printed, or one per epoch of a single run.
"""

import json
import math
import os
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from lib.experiment import Experiment
from lib.training import Epoch

VARIABLE = "WRITEUP_PROGRESS"
_EVERY = 0.5  # seconds between two events within an epoch


class Event(NamedTuple):
    """Progress of one run, and the state of the sweep."""

    line: str
    worth_a_line: bool  # in a log: every epoch of a single run, the last epoch of each of several


class Progress:
    """Turn steps and finished epochs into events, for the runs that a sweep has to train; stored ones do not count."""

    def __init__(
        self,
        missing: Sequence[Experiment],
        tell: Callable[[Event], None] | None = None,
        done: Mapping[str, int] | None = None,  # epochs that runs have done before, by their key
    ):
        self.tell = tell or emit
        self.printed = not tell and VARIABLE not in os.environ  # events are lines of this process's output
        self.workers = 1
        self._left = {e.key: e.epochs - (done or {}).get(e.key, 0) for e in missing}  # epochs to go, by run
        self._shares: dict[str, float] = {}  # of the present epoch, by run
        self._rates: deque[float] = deque(maxlen=64)  # images per second of the latest epochs
        self._runs = len(missing)
        self._epochs = 0  # done since the start
        self._start = time.monotonic()
        self._began: dict[str, float] = {}  # when the present epoch began, by run
        self._told = -math.inf  # when a step was last told

    def step(self, experiment: Experiment, number: int, done: int, images: int) -> None:
        """Tell how far epoch `number` is, now and then."""
        now, key = time.monotonic(), experiment.key
        began = self._began.setdefault(key, now)
        self._shares[key] = done / images
        if now - self._told >= _EVERY:
            self._told = now
            state = f"epoch {number}/{experiment.epochs} · {done / images:.0%}"
            self._tell(experiment, state, self._rates or ([done / (now - began)] if done and now > began else []))

    def __call__(self, experiment: Experiment, epoch: Epoch) -> None:
        key = experiment.key
        jump = self._left.get(key, 0) - (experiment.epochs - epoch.epoch)
        self._epochs += max(1, min(jump, experiment.evaluate_every))  # a resumed run has done the others before
        self._rates.append(epoch.images_per_second)
        self._shares.pop(key, None)
        self._began.pop(key, None)
        self._left[key] = experiment.epochs - epoch.epoch  # goes up again when a run loses its worker
        if ended := not self._left[key]:
            self.ended(experiment)
        state = f"epoch {epoch.epoch}/{experiment.epochs} · test {epoch.test.accuracy:.1%}"
        self._tell(experiment, state, self._rates, self._runs == 1 or ended)

    def _tell(self, experiment: Experiment, state: str, rates: Sequence[float], worth_a_line: bool = False) -> None:
        running = min(self.workers, len(self._left))
        done, waiting = self._runs - len(self._left), len(self._left) - running
        sweep = f"{done}/{self._runs} runs done, {running} running, {waiting} waiting · " if self._runs > 1 else ""
        line = f"{sweep}{experiment.title} · {state}"
        if latest := list(rates)[-self.workers :]:
            line += f" · {sum(latest) / len(latest) * max(1, running):,.0f} images/s"  # of all workers together
        begun = sum(self._shares.values())
        if epochs := self._epochs + begun:
            seconds = (sum(self._left.values()) - begun) * (time.monotonic() - self._start) / epochs
            line += f" · {readable(round(seconds))} left"
        self.tell(Event(line, worth_a_line))

    def ended(self, experiment: Experiment) -> None:
        """Note that a run is over, also one that failed or that another program has trained."""
        self._left.pop(experiment.key, None)
        self._shares.pop(experiment.key, None)


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
