"""Locks on runs, for two programs that want the same one; a killed program's locks are free again at once."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from filelock import FileLock, Timeout

from lib.experiment import Experiment
from lib.runs.store import Store
from lib.system.errors import NoRoom
from lib.training import Interrupted

_EVERY = 0.2  # seconds between two tries


def lock(store: Store, experiment: Experiment, timeout: float = 0) -> FileLock | None:
    """Lock a run; None while another program has it.

    Raises:
        NoRoom: the store cannot be written to.
    """
    path = store.checkpoint(experiment).with_suffix(".lock")
    own = FileLock(path, thread_local=False)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        own.acquire(timeout=timeout)
    except Timeout:
        return None
    except OSError as error:
        raise NoRoom(f"Runs cannot be stored in {store.folder}: {error.strerror or error}.") from error
    return own


def unlock(own: FileLock, store: Store, experiment: Experiment) -> None:
    """Release a run; a stored one needs no lock file any more.

    Programs that wait for the removed file, or make a new one, find the run stored.
    """
    if store.file(experiment.key):
        store.checkpoint(experiment).with_suffix(".lock").unlink(missing_ok=True)
    own.release()


@contextmanager
def locked(store: Store, experiment: Experiment, stop: Callable[[], bool]) -> Iterator[bool]:
    """Wait for a run's lock and hold it; the value is True where the run is still to be trained.

    Raises:
        Interrupted: `stop` returned True while another program held the run.
    """
    while (own := lock(store, experiment, timeout=_EVERY)) is None:
        if stop():
            raise Interrupted("Stopped while another program trained this run.")
    try:
        yield store.get(experiment) is None
    finally:
        unlock(own, store, experiment)
