"""Runs to train, with everything that goes with them."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from filelock import FileLock, Timeout

from lib.experiment import Experiment
from lib.runs.progress import Progress
from lib.runs.store import Store
from lib.system.errors import NoRoom, UserError
from lib.training import Epoch

OnEpoch = Callable[[Experiment, Epoch], None]
STOPPED = "Stopped. Finished runs are stored; run again to go on."


class RunsFailed(UserError):
    """Some runs of a sweep failed; the others are stored. `reasons` names each with its reason."""

    def __init__(self, failures: Sequence[tuple[Experiment, BaseException]], runs: int):
        self.reasons = [
            (run, str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}")
            for run, error in failures
        ]
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
    failures: list[tuple[Experiment, BaseException]] = field(default_factory=list)

    def epoch(self, experiment: Experiment, epoch: Epoch) -> None:
        """Show a finished epoch."""
        try:
            if self.progress:
                self.progress(experiment, epoch)
            if self.on_epoch:
                self.on_epoch(experiment, epoch)
        except Exception as error:  # a display that fails must not stop the training
            print(f"The progress of {experiment.title} could not be shown: {error}", file=sys.stderr)

    def lock(self, experiment: Experiment, timeout: float = 0) -> FileLock | None:
        """Lock a run; None while another program has it. The lock of a killed program is free again at once.

        Raises:
            NoRoom: the store cannot be written to.
        """
        path = self.store.checkpoint(experiment).with_suffix(".lock")
        own = FileLock(path, thread_local=False)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            own.acquire(timeout=timeout)
        except Timeout:
            return None
        except OSError as error:
            raise NoRoom(f"Runs cannot be stored in {self.store.folder}: {error.strerror or error}.") from error
        return own

    def over(self, experiment: Experiment, own: FileLock, error: BaseException | None = None) -> None:
        """Note that a run is over, trained or not, and release its lock."""
        if self.store.file(experiment.key):  # programs that wait for the removed file, or make a new one, find the run
            self.store.checkpoint(experiment).with_suffix(".lock").unlink(missing_ok=True)
        own.release()
        if error:
            self.failures.append((experiment, error))
        if self.progress:
            self.progress.ended(experiment)
