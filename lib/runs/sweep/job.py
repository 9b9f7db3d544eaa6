"""Runs to train, with everything that goes with them, and the way to train them without Dask."""

import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from filelock import FileLock

from lib.experiment import Experiment
from lib.runs.progress import Event, Progress
from lib.runs.store import Store
from lib.system.errors import NoRoom, UserError, printable
from lib.training import Epoch, Interrupted, train
from lib.training.checkpoint import finished

OnEpoch = Callable[[Experiment, Epoch], None]
Failure = tuple[Experiment, BaseException]
STOPPED = "Stopped. Finished runs are stored; run again to go on."


class RunsFailed(UserError):
    """Some runs of a sweep failed; the others are stored. `reasons` names each with its reason."""

    def __init__(self, failures: Sequence[Failure], runs: int):
        self.reasons = [(e, str(w) if isinstance(w, UserError) else f"{type(w).__name__}: {w}") for e, w in failures]
        lines = "\n".join(f"  {experiment.title}: {reason}" for experiment, reason in self.reasons)
        super().__init__(f"{len(failures)} of {runs} runs failed; the others are stored.\n{lines}")


@dataclass
class Job:
    """The runs that a sweep has to train."""

    missing: Sequence[Experiment]
    store: Store
    origin: str
    on_epoch: OnEpoch | None
    progress: Progress | None
    stop: Callable[[], bool]
    states: Mapping[str, Mapping[int, Path]] = field(default_factory=dict)  # by key and epoch, see `train`
    failures: list[Failure] = field(default_factory=list)
    said: dict[str, str] = field(default_factory=dict)  # subject -> the last sentence about it

    def say(self, about: str, line: str) -> None:
        """Say on stderr, and to whoever watches the progress, what a sweep waits for; once until it changes."""
        if self.said.get(about) != line:
            self.said[about] = line
            with suppress(Exception):  # a display that fails must not stop the training
                print(printable(line), file=sys.stderr, flush=True)
                if self.progress and not self.progress.printed:
                    self.progress.tell(Event(line, worth_a_line=True))

    def wait(self, experiment: Experiment) -> None:
        """Say that another program trains a run, and how far it is."""
        done = finished(self.store.checkpoint(experiment))
        state = f"epoch {done} of {experiment.epochs} is done" if done else "no epoch is done yet"
        self.say(experiment.key, f"{experiment.title} is being trained by another program ({state}); waiting for it.")

    def epoch(self, experiment: Experiment, epoch: Epoch) -> None:
        """Show a finished epoch."""
        try:
            if self.progress:
                self.progress(experiment, epoch)
            if self.on_epoch:
                self.on_epoch(experiment, epoch)
        except Exception as error:  # a display that fails must not stop the training
            print(f"The progress of {experiment.title} could not be shown: {error}", file=sys.stderr)

    def step(self, experiment: Experiment, *step: int) -> bool:
        """Show how far an epoch is, now and then; return True where the sweep is to end."""
        with suppress(Exception):  # as `epoch`
            if self.progress:
                self.progress.step(experiment, *step)
        return self.stop()

    def over(self, experiment: Experiment, own: FileLock, error: BaseException | None = None) -> None:
        """Note that a run is over, trained or not, and release its lock."""
        self.store.unlock(own)
        if error:
            self.failures.append((experiment, error))
        if self.progress:
            self.progress.ended(experiment)

    def one_by_one(self) -> None:
        """Train and store the runs in this process, each on all cores or on the GPU."""
        for run in self.missing:
            while (lock := self.store.lock(run, timeout=0.2)) is None:
                self.wait(run)
                if self.stop():
                    raise Interrupted(STOPPED)
            show, step, checkpoint = partial(self.epoch, run), partial(self.step, run), self.store.checkpoint(run)
            kept = partial(train, checkpoint=checkpoint, states=self.states.get(run.key), origin=self.origin)
            try:
                if self.store.get(run) is None:
                    outcome = kept(run, on_epoch=show, on_step=step)
                    self.store.put(*outcome)
                self.over(run, lock)
            except NoRoom:  # the next runs could not be stored either
                raise
            except Exception as error:
                self.over(run, lock, error)
            finally:
                lock.release()
