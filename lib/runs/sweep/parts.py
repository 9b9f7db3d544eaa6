"""What all ways of training many runs share."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from filelock import FileLock, Timeout

from lib.experiment import Experiment
from lib.runs.progress import Progress
from lib.runs.store import Store
from lib.system.errors import NoRoom
from lib.training import Epoch

OnEpoch = Callable[[Experiment, Epoch], None]


@dataclass(frozen=True)
class Sweep:
    """The runs to train, and what goes with each of them."""

    missing: Sequence[Experiment]
    store: Store
    origin: str
    on_epoch: OnEpoch | None = None
    progress: Progress | None = None
    stop: Callable[[], bool] | None = None

    def epoch(self, experiment: Experiment, epoch: Epoch) -> None:
        """Show a finished epoch to whoever watches."""
        try:
            if self.progress:
                self.progress(experiment, epoch)
            if self.on_epoch:
                self.on_epoch(experiment, epoch)
        except Exception as error:  # what cannot be shown must not stop the training
            print(f"The progress of {experiment.title} could not be shown: {error}", file=sys.stderr)

    def ended(self, experiment: Experiment) -> None:
        """A run is over, trained or not."""
        if self.progress:
            self.progress.ended(experiment)


def claim(store: Store, experiment: Experiment, wait: bool) -> FileLock | None:
    """The right to train a run, for two programs that want the same one; None while another has it.

    A killed program's claims are free again at once.

    Raises:
        NoRoom: the store cannot be written to.
    """
    path = store.checkpoint(experiment).with_suffix(".lock")
    lock = FileLock(path, thread_local=False)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=-1 if wait else 0)
    except Timeout:
        return None
    except OSError as error:
        raise NoRoom(f"Runs cannot be stored in {store.folder}: {error.strerror or error}.") from error
    return lock


def give_back(lock: FileLock, store: Store, experiment: Experiment) -> None:
    """Let others have a run; one that is stored needs no lock any more.

    Who waited for the file that is removed here finds the run stored, and so does who makes a new one.
    """
    if store.file(experiment.key):
        store.checkpoint(experiment).with_suffix(".lock").unlink(missing_ok=True)
    lock.release()


@contextmanager
def claimed(store: Store, experiment: Experiment) -> Iterator[bool]:
    """Wait for a run's claim and hold it; whether the run is still to be trained."""
    lock = claim(store, experiment, wait=True)
    try:
        yield store.get(experiment) is None
    finally:
        give_back(lock, store, experiment)
