"""Work of a Dask worker: one run, from an experiment to its record and weights.

Dask imports this module on schedulers and on workers of every version, so that it imports the rest of `lib` only where
the versions are right.
"""

import os
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from distributed import get_worker

import lib

#: Outcomes of `work` besides exceptions: a record with weights, or the address of a worker with what it lacks.
DONE, UNFIT, NO_DATA = "done", "unfit", "no data"


class Abandoned(Exception):
    """The program that asked for this run has gone, or has cancelled it."""


def versions() -> dict[str, str]:
    """Versions of everything that decides a run's numbers, in this process."""
    from lib.experiment import NUMERICS_VERSION

    try:
        torch = version("torch").partition("+")[0]  # CPU and CUDA builds of one version go together
    except PackageNotFoundError:
        torch = "none"
    return {"lib": lib.__version__, "numerics": str(NUMERICS_VERSION), "torch": torch}


def unfit(wanted: dict[str, str], threads: int) -> str:
    """Reason why this worker cannot train for a program of these versions; "" where it can."""
    if threads != 1:
        return f"it would train {threads} runs at a time in one process; start workers with --nthreads 1, one per core"
    try:
        here = versions()
        import lib.training  # noqa: F401  (an installation can be broken, too)
    except Exception as error:
        return f"it cannot run this program ({type(error).__name__}: {error})"
    found = [
        f"{name} {here[name]} where this program has {wanted[name]}" for name in wanted if here[name] != wanted[name]
    ]
    return f"it has {', '.join(found)}; install the same there" if found else ""


_checked = cache(unfit)  # importing takes a moment, and is needed once


def work(
    experiment: dict[str, Any],
    origin: str,
    topic: str,
    threads: int,
    checkpoint: Path | None,
    wanted: dict[str, str],
) -> tuple[str, Any]:
    """Train a run and log its start and its epochs on the way.

    Args:
        experiment: the fields of an `Experiment`.
        topic: of the events.
        threads: of the run.
        checkpoint: file for its state, where worker and client share a disk.
        wanted: versions that the worker has to have.

    Returns:
        (DONE, (record, weights)), (UNFIT, (worker, reason)) or (NO_DATA, worker).

    Raises:
        Abandoned: the client has gone.
        UserError: from `train`, NoRoom among it.
    """
    worker = get_worker()
    if reason := _checked(_Hashed(wanted), worker.state.nthreads):
        return UNFIT, (worker.address, reason)
    import torch

    from lib.experiment import Experiment
    from lib.training import Epoch, train

    run = Experiment.make(**experiment)
    dataset = _dataset(run.data)
    if dataset is None:
        return NO_DATA, worker.address
    torch.set_num_threads(threads)
    task = worker.get_current_task()
    worker.log_event(topic, {"key": run.key, "task": task})

    def on_epoch(epoch: Epoch) -> None:
        worker.log_event(topic, {"key": run.key, "task": task, "epoch": epoch.model_dump_json()})
        state = worker.state.tasks.get(task)
        if state is None or state.state == "cancelled":  # Dask cannot stop a thread, and the next run waits for it
            raise Abandoned(task)

    return DONE, train(run, dataset, on_epoch=on_epoch, checkpoint=checkpoint, origin=origin)


class _Hashed(dict):
    """A dictionary as an argument of a cached function."""

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(tuple(sorted(self.items())))


def receive(content: bytes | None) -> str:
    """Keep the data set that the client sent; return the reason where it can be written nowhere.

    Args:
        content: None to look only, for a worker whose neighbour on the same machine was sent it before.
    """
    from lib import data
    from lib.system.errors import UserError

    try:
        _in_cache_or_fallback(lambda: data.fetch("disk") if content is None else data.install(content))
    except UserError as error:
        return str(error)
    return ""


_datasets: dict[str, Any] = {}  # verified once per process; the images stay in the mapped file
#: Held while the cache folder may be another one: data arrive in one thread while a run looks for them in another.
_cache_folder = threading.Lock()


def _dataset(name: str) -> Any:
    """The data set from this machine's disk; None where it is missing."""
    from lib import data

    if name not in _datasets:
        if name == "cifar10" and receive(None):  # not from the network: hundreds of workers would ask one server
            return None
        _datasets[name] = data.load(name)
    return _datasets[name]


def _in_cache_or_fallback(act: Callable[[], object]) -> None:
    """Read or write the data set in the cache, or where that fails in a temporary folder."""
    from lib.system.errors import UserError

    with _cache_folder:
        try:
            act()
        except UserError:
            with _in_fallback():
                act()


@contextmanager
def _in_fallback() -> Iterator[None]:
    """Use a temporary folder, one for all workers of this user, as the cache from now on, if the block succeeds."""
    before = os.environ.get("WRITEUP_CACHE")
    os.environ["WRITEUP_CACHE"] = str(Path(tempfile.gettempdir()) / f"longtail-writeup-{os.getuid()}")
    try:
        yield
    except BaseException:
        os.environ.pop("WRITEUP_CACHE")
        if before is not None:
            os.environ["WRITEUP_CACHE"] = before
        raise
