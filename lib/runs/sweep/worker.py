"""What a Dask worker does: one run, from an experiment to its record and weights."""

import os
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from distributed import get_worker

from lib import data
from lib.experiment import Experiment
from lib.system.errors import UserError
from lib.training import Epoch, Record, Weights, train


class Abandoned(Exception):
    """Nobody waits for this run any more."""


class NoData(Exception):
    """A worker has neither the data set nor a copy on its disk; carries its address."""

    def __init__(self, name: str, worker: str):
        super().__init__(name, worker)
        self.name, self.worker = name, worker


@dataclass(frozen=True)
class Task:
    """A run, as it travels to a worker."""

    experiment: Experiment
    origin: str
    topic: str  # under which its start and its epochs are told
    submission: str  # Dask's key; a run that lost its worker is submitted again under another one
    threads: int
    checkpoint: Path | None  # where worker and client share a disk


def work(task: Task) -> tuple[Record, dict[str, Weights]]:
    """Train a run and tell its epochs on the way.

    Raises:
        NoData: the worker has no data set.
        Abandoned: whoever asked for the run has gone.
        UserError: what `train` raises; NoRoom among it.
    """
    worker = get_worker()
    dataset = _dataset(task.experiment.data, worker.address)
    torch.set_num_threads(task.threads)
    own = worker.get_current_task()
    told = {"key": task.experiment.key, "submission": task.submission}
    worker.log_event(task.topic, told)

    def on_epoch(epoch: Epoch) -> None:
        worker.log_event(task.topic, told | {"epoch": epoch.model_dump_json()})
        state = worker.state.tasks.get(own)
        if state is None or state.state == "cancelled":  # Dask cannot stop a thread, and the next run waits for it
            raise Abandoned(own)

    return train(task.experiment, dataset, on_epoch=on_epoch, checkpoint=task.checkpoint, origin=task.origin)


#: Held while the cache folder may be another one: data arrive in one thread while a run looks for them in another.
_cache_folder = threading.Lock()


@cache  # verified once per process; the images stay in the mapped file
def _dataset(name: str, address: str) -> data.Dataset:
    if name == "cifar10":
        # Not from the network: hundreds of workers would ask one public server.
        try:
            _in_cache_or_fallback(lambda: data.fetch("disk"))
        except UserError as error:
            raise NoData(name, address) from error
    return data.load(name)


def _in_cache_or_fallback(act: Callable[[], object]) -> None:
    """Read or write the data set in the cache, or where that fails in a temporary folder."""
    with _cache_folder:
        try:
            act()
        except UserError:
            with _in_fallback():
                act()


@contextmanager
def _in_fallback() -> Iterator[None]:
    """Keep data in a temporary folder, one for all workers of this user, from now on if that succeeds."""
    before = os.environ.get("WRITEUP_CACHE")
    os.environ["WRITEUP_CACHE"] = str(Path(tempfile.gettempdir()) / f"longtail-writeup-{os.getuid()}")
    try:
        yield
    except UserError:
        os.environ.pop("WRITEUP_CACHE")
        if before is not None:
            os.environ["WRITEUP_CACHE"] = before
        raise


def receive(content: bytes) -> str:
    """Keep the data set that the client sent; why it can be written nowhere, "" where it was."""
    try:
        _in_cache_or_fallback(lambda: data.install(content))
    except UserError as error:
        return str(error)
    return ""
