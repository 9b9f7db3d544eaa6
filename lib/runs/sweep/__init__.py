"""Many experiments: what is stored is loaded, the rest is trained, here or on a cluster."""

from collections.abc import Callable, Sequence

from lib import data
from lib.experiment import Experiment
from lib.runs.progress import Event, Progress
from lib.runs.store import Store
from lib.runs.sweep.alone import one_by_one
from lib.runs.sweep.failures import RunsFailed
from lib.runs.sweep.parts import OnEpoch, Sweep
from lib.system import device
from lib.system.errors import UserError
from lib.training import Record

__all__ = ["OnEpoch", "RunsFailed", "run"]


def run(
    experiments: Sequence[Experiment],
    *,
    store: Store | None = None,
    origin: str = "",
    on_epoch: OnEpoch | None = None,
    tell: Callable[[Event], None] | None = None,
    workers: int | None = None,
    scheduler: str = "",
    stop: Callable[[], bool] | None = None,
) -> list[Record]:
    """The records of `experiments`, in their order; equal experiments are trained once.

    On a CPU, several runs are trained side by side by a local Dask cluster, which gives more images per second
    than one run on all cores; on several GPUs, one on each. How many threads each gets follows from the runs
    asked for, not from those that are missing: threads change the last digits, and a sweep that was interrupted
    has to end as it would have.

    Args:
        origin: what asks for the runs (a parameter file); kept in new records.
        on_epoch: called after every new epoch; by default there are progress lines (see lib.runs.progress).
        tell: takes the progress events in place of those lines.
        workers: processes; by default as described above.
        scheduler: address of a Dask scheduler ("tcp://host:8786"), or a file that it wrote, whose workers train
            instead. Their runs have one thread each. Records and weights travel back; no file is shared.

    Raises:
        RunsFailed: when runs failed, naming each and why; the others are finished and stored.
        UserError: the scheduler cannot be reached or is gone, its workers have other versions, the disk is full.
            What is finished is stored.
    """
    store = store or Store()
    missing = list({e.key: e for e in experiments if store.get(e) is None}.values())
    if missing:
        if not scheduler:
            for name in {e.data for e in missing}:
                data.load(name)  # fetched once, here, where its messages are seen
        progress = Progress(missing, tell) if tell or not on_epoch else None
        sweep = Sweep(missing, store, origin, on_epoch, progress, stop)
        if failures := _train(sweep, experiments, workers, scheduler):
            raise RunsFailed(failures, len(missing)) from failures[0][1]
    return [_stored(store, e) for e in experiments]


def _train(sweep: Sweep, asked: Sequence[Experiment], workers: int | None, scheduler: str) -> list:
    """Train what is missing; what failed, and why."""
    together = _together(asked, workers)
    if together == 1 and not scheduler:
        return one_by_one(sweep)
    from lib.runs.sweep import cluster  # Dask takes half a second to import, which one run is not to pay for
    from lib.runs.sweep.spread import spread

    if scheduler:
        opened = cluster.connected(scheduler)
    else:
        opened = cluster.local(min(together, len(sweep.missing)), threads=max(1, _cores() // together))
    with opened as crew:
        if sweep.progress:
            sweep.progress.dashboard = crew.dashboard
        return spread(sweep, crew)


def _cores() -> int:
    return int(device.describe()["cores"])


def _together(asked: Sequence[Experiment], workers: int | None) -> int:
    """Worker processes at a time: as many as there are cores, or GPUs."""
    return min(workers or len({e.key for e in asked}), device.gpus() or _cores())


def _stored(store: Store, experiment: Experiment) -> Record:
    record = store.get(experiment)
    if record is None:
        raise UserError(f"Run {experiment.key} vanished from {store.folder} while it was used; run again.")
    return record
