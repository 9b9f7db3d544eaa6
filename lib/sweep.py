"""Many experiments: what is stored is loaded, the rest is trained."""

import multiprocessing
import multiprocessing.queues
import os
import queue
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from pathlib import Path

import torch
from filelock import FileLock

from lib import data, device
from lib.errors import UserError
from lib.experiment import Experiment
from lib.progress import Progress
from lib.records import Store
from lib.training import Diverged, Epoch, Record, train
from lib.training.replicas import groups, train_together

OnEpoch = Callable[[Experiment, Epoch], None]


def run(
    experiments: Sequence[Experiment],
    *,
    store: Store | None = None,
    origin: str = "",
    on_epoch: OnEpoch | None = None,
    workers: int | None = None,
    replicas: int = 1,
) -> list[Record]:
    """The records of `experiments`, in their order; equal experiments are trained once.

    On a CPU, several runs are trained side by side, which gives more images per second than one run on all
    cores. How many threads each gets follows from the runs asked for, not from those that are missing:
    threads change the last digits, and a sweep that was interrupted has to end as it would have.

    Args:
        origin: what asks for the runs (a parameter file); kept in new records.
        on_epoch: called after every new epoch; by default progress lines (see lib.progress).
        workers: processes; by default as described above.
        replicas: runs that are fused into one model at most (see lib.training.replicas), which is meant for a GPU;
            fused runs keep no checkpoints.

    Raises:
        UserError: when runs failed, naming each and why; the others are finished and stored.
    """
    store = store or Store()
    missing = list({e.key: e for e in experiments if store.get(e) is None}.values())
    if missing:
        for name in {e.data for e in missing}:
            data.load(name)  # fetched once, here, where its messages are seen
        together = _together(experiments, workers) if replicas == 1 else min(replicas, len(missing))
        on_epoch = on_epoch or Progress(missing, workers=min(together, len(missing)))
        if replicas > 1:
            failures = _fused(missing, store, origin, on_epoch, replicas)
        elif together == 1:
            failures = _one_by_one(missing, store, origin, on_epoch)
        else:
            failures = _side_by_side(missing, store, origin, on_epoch, together, threads=_cores() // together)
        if failures:
            reasons = "\n".join(f"  {experiment.title}: {_reason(error)}" for experiment, error in failures)
            message = f"{len(failures)} of {len(missing)} runs failed; the others are stored.\n{reasons}"
            raise UserError(message) from failures[0][1]
    return [_stored(store, e) for e in experiments]


def _cores() -> int:
    return int(device.describe()["cores"])


def _together(asked: Sequence[Experiment], workers: int | None) -> int:
    """Worker processes at a time: as many as there are cores, on a GPU one."""
    most = _cores() if device.default_device().type == "cpu" else 1
    return min(workers or len({e.key for e in asked}), most)


def _stored(store: Store, experiment: Experiment) -> Record:
    record = store.get(experiment)
    if record is None:
        raise UserError(f"Run {experiment.key} vanished from {store.folder} while it was used; run again.")
    return record


def _lock(store: Store, experiment: Experiment) -> FileLock:
    """For two programs that want the same run: one trains it."""
    checkpoint = store.checkpoint(experiment)
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(checkpoint.with_suffix(".lock"))


def _train_and_store(experiment: Experiment, folder: Path, origin: str, on_epoch: Callable[[Epoch], None]) -> None:
    store = Store(folder)
    with _lock(store, experiment):
        if store.get(experiment) is None:
            checkpoint = store.checkpoint(experiment)
            record, weights = train(experiment, on_epoch=on_epoch, checkpoint=checkpoint, origin=origin)
            store.put(record, weights)


Failures = list[tuple[Experiment, BaseException]]


def _reason(error: BaseException) -> str:
    if isinstance(error, BrokenProcessPool):
        return (
            "a training process was ended from outside (out of memory?), which stops all that were not "
            "finished; run again to go on from their last finished epochs"
        )
    return str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"


def _one_by_one(missing: Sequence[Experiment], store: Store, origin: str, on_epoch: OnEpoch) -> Failures:
    failures = []
    for experiment in missing:
        try:
            _train_and_store(experiment, store.folder, origin, lambda e, x=experiment: on_epoch(x, e))
        except Exception as error:
            failures.append((experiment, error))
    return failures


def _fused(missing: Sequence[Experiment], store: Store, origin: str, on_epoch: OnEpoch, most: int) -> Failures:
    failures: Failures = []
    for group in groups(missing, most):
        with ExitStack() as locks:
            for experiment in sorted(group, key=lambda e: e.key):  # in one order, or two programs wait for each other
                locks.enter_context(_lock(store, experiment))
            group = [e for e in group if store.get(e) is None]
            try:
                outcomes = train_together(group, on_epoch=on_epoch, origin=origin)
                for outcome in outcomes:
                    if not isinstance(outcome, Diverged):
                        store.put(*outcome)
            except Exception as error:
                failures += [(e, error) for e in group if store.get(e) is None]
            else:
                failures += [(e, o) for e, o in zip(group, outcomes, strict=True) if isinstance(o, Diverged)]
    return failures


def _side_by_side(
    missing: Sequence[Experiment], store: Store, origin: str, on_epoch: OnEpoch, workers: int, threads: int
) -> Failures:
    context = multiprocessing.get_context("spawn")  # forking a process that has used torch's threads hangs
    epochs = context.Queue()
    failures: Failures = []
    futures: dict[Future, Experiment] = {}
    finished = threading.Event()
    pool = ProcessPoolExecutor(
        min(workers, len(missing)), mp_context=context, initializer=_start_worker, initargs=(epochs, threads)
    )
    try:
        futures = {pool.submit(_work, experiment, store.folder, origin): experiment for experiment in missing}
        listener = threading.Thread(target=_listen, args=(epochs, on_epoch, finished), daemon=True)
        listener.start()
        for future in as_completed(futures):
            if (error := future.exception()) is not None:
                failures.append((futures[future], error))
        finished.set()
        listener.join()
    except BaseException:
        finished.set()
        _stop(pool, futures)
        raise
    pool.shutdown()
    return failures


def _listen(epochs: multiprocessing.queues.Queue, on_epoch: OnEpoch, finished: threading.Event) -> None:
    while True:
        try:
            news = epochs.get(timeout=0.2)
        except queue.Empty:
            if finished.is_set():
                return
            continue
        try:
            on_epoch(*news)
        except Exception as error:  # what cannot be shown must not stop the training, nor fill the queue
            print(f"The progress of {news[0].title} could not be shown: {error}", file=sys.stderr)


def _stop(pool: ProcessPoolExecutor, futures: Sequence[Future]) -> None:
    """Leave at once: the workers' checkpoints hold every finished epoch."""
    for future in futures:
        future.cancel()
    for process in list((pool._processes or {}).values()):
        process.terminate()
    pool.shutdown(wait=False, cancel_futures=True)


_epochs: multiprocessing.queues.Queue | None = None  # of a worker process: its way to tell the parent


def _start_worker(epochs: multiprocessing.queues.Queue, threads: int) -> None:
    global _epochs
    _epochs = epochs
    torch.set_num_threads(threads)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent too, which ends its workers
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A killed parent must not leave trainings behind that nobody waits for."""
    multiprocessing.parent_process().join()
    os._exit(1)


def _work(experiment: Experiment, folder: Path, origin: str) -> None:
    _train_and_store(experiment, folder, origin, lambda epoch: _epochs.put((experiment, epoch)))
