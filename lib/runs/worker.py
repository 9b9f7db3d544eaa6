"""Work of a Dask worker: one run, from an experiment to its record and weights.

Workers of every version import this module, so that it imports the rest of `lib` only where the versions are right.
"""

import os
import tempfile
import threading
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


@cache
def versions() -> dict[str, str]:
    """Return the versions of everything that decides a run's numbers, in this process."""
    from lib.experiment import NUMERICS_VERSION

    try:
        torch = version("torch").partition("+")[0]  # CPU and CUDA builds of one version go together
    except PackageNotFoundError:
        torch = "none"
    return {"lib": lib.__version__, "numerics": str(NUMERICS_VERSION), "torch": torch}


def unfit(wanted: dict[str, str], threads: int) -> str:
    """Return the reason why this worker cannot train for a program of these versions; "" where it can."""
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


def work(
    experiment: dict[str, Any], origin: str, topic: str, threads: int, checkpoint: Path | None, wanted: dict[str, str]
) -> tuple[str, Any]:
    """Train a run and log its start and its epochs.

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
    if reason := unfit(wanted, worker.state.nthreads):
        return UNFIT, (worker.address, reason)
    import torch

    from lib.experiment import Experiment
    from lib.training import Epoch, train

    run = Experiment.make(**experiment)
    if run.data == "cifar10" and not _has_cifar10():
        return NO_DATA, worker.address
    torch.set_num_threads(threads)
    task = worker.get_current_task()
    told = {"key": run.key, "task": task}
    worker.log_event(topic, told)

    def on_epoch(epoch: Epoch) -> None:
        worker.log_event(topic, told | {"epoch": epoch.model_dump_json()})
        state = worker.state.tasks.get(task)
        if state is None or state.state == "cancelled":  # Dask cannot stop a thread, and the next run waits for it
            raise Abandoned(task)

    return DONE, train(run, _dataset(run.data), on_epoch=on_epoch, checkpoint=checkpoint, origin=origin)


@cache  # verified once per process; the images stay in the mapped file
def _dataset(name: str) -> Any:
    from lib import data

    return data.load(name)


_found: list[bool] = []  # one entry once CIFAR-10 was found
#: Held while the cache folder may be another one: data arrive in one thread while a run looks for them in another.
_looking = threading.Lock()


def _has_cifar10() -> bool:
    """Look on this machine's disk only, not in the network: hundreds of workers would ask one server."""
    if not _found and not receive(None):
        _found.append(True)
    return bool(_found)


def receive(content: bytes | None) -> str:
    """Keep CIFAR-10 as the client sent it, in the cache or where that fails in a temporary folder.

    Args:
        content: None to look only, for a worker whose neighbour on the same machine was sent it before.

    Returns:
        The reason where there is none on this machine's disk now.
    """
    from lib import data
    from lib.system import paths
    from lib.system.errors import UserError

    own, reason = paths.cache_folder(), ""
    with _looking:
        for folder in (own, Path(tempfile.gettempdir()) / f"longtail-writeup-{os.getuid()}"):
            os.environ["WRITEUP_CACHE"] = str(folder)
            try:
                data.fetch("disk") if content is None else data.install(content)
                return ""
            except UserError as error:
                reason = str(error)
        os.environ["WRITEUP_CACHE"] = str(own)
    return reason
