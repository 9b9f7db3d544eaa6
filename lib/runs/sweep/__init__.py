"""Many experiments: stored runs are loaded, the others are trained, here or on a cluster."""

from collections.abc import Callable, Sequence

from lib import data
from lib.experiment import Experiment
from lib.runs.progress import Event, Progress
from lib.runs.store import Store
from lib.runs.sweep.branches import in_waves, shared
from lib.runs.sweep.job import Job, OnEpoch, RunsFailed
from lib.system import device, files
from lib.system.errors import UserError
from lib.training import Record
from lib.training.checkpoint import finished

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
    """Return the records of `experiments`, in their order; equal experiments are trained once.

    On a CPU, several runs are trained side by side by a local Dask cluster, which gives more images per second than one
    run on all cores; on a GPU, one after another. The threads of a run follow from the runs asked for, not from those
    that are missing: threads change the last digits, and a sweep that was interrupted has to end as it would have.

    Args:
        origin: the parameter file that asks for the runs, noted in new records.
        on_epoch: called after every new epoch; by default there are progress lines (see lib.runs.progress).
        tell: takes the progress events in place of those lines.
        workers: processes; by default as described above.
        scheduler: address of a Dask scheduler ("tcp://host:8786"), or the file that it wrote, for training on its
            workers, one thread per run. Records and weights are sent back; no file is shared.
        stop: asked now and then; True ends the sweep as Ctrl-C does.

    Raises:
        RunsFailed: when runs failed, naming each with its reason; the others are finished and stored.
        Interrupted: on Ctrl-C or `stop`. Finished runs are stored, and unfinished ones go on at the next start.
        UserError: the scheduler cannot be reached or is lost, its workers have other versions, the disk is full.
            Finished runs are stored.
    """
    store = store or Store()
    store.tidy()
    missing = list({e.key: e for e in experiments if store.get(e) is None}.values())
    if missing:
        files.try_writing(store.folder)
        if not scheduler:
            for name in {e.data for e in missing}:
                data.load(name)  # fetched once, here, where its messages are seen
        done = {e.key: finished(store.checkpoint(e)) for e in missing}  # of runs that were interrupted
        progress = Progress(missing, tell, done) if tell or not on_epoch else None
        states, failures = shared(missing, store), []
        for wave in in_waves(missing, states):
            job = Job(wave, store, origin, on_epoch, progress, stop or (lambda: False), states)
            _train(job, experiments, workers, scheduler)
            failures += job.failures
        if failures:
            failures.sort(key=lambda failure: missing.index(failure[0]))
            raise RunsFailed(failures, len(missing)) from failures[0][1]
    records = [record for e in experiments if (record := store.get(e))]
    if len(records) < len(experiments):
        raise UserError(f"A run vanished from {store.folder} while it was used; run again.")
    return records


def _train(job: Job, asked: Sequence[Experiment], workers: int | None, scheduler: str) -> None:
    most = device.cores() if device.default_device().type == "cpu" else 1
    together = min(workers or len({e.key for e in asked}), most)
    if together == 1 and not scheduler:
        job.one_by_one()
        return
    from lib.runs.sweep import cluster  # Dask takes half a second to import, which one run need not pay for
    from lib.runs.sweep.spread import Spread

    if job.progress:
        job.progress.tell(Event(f"{len(job.missing)} runs to train; starting the workers", worth_a_line=False))
    threads = 1 if scheduler else max(1, device.cores() // together)
    with cluster.connected(scheduler) if scheduler else cluster.local(min(together, len(job.missing))) as client:
        if scheduler and job.progress:
            job.progress.tell(Event(f"Dask shows its workers at {client.dashboard_link}", worth_a_line=True))
        Spread(job, client, threads=threads, local=not scheduler).run()
