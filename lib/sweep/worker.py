"""What a Dask worker does: one run, from an experiment to its record and weights."""

import os
import tempfile
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import torch
from distributed import get_worker

from lib import data
from lib.errors import UserError
from lib.experiment import Experiment
from lib.sweep.versions import different, versions
from lib.training import Epoch, Record, Weights, train


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
    topic: str  # under which its epochs are told
    threads: int
    checkpoint: Path | None  # where worker and client share a disk
    versions: dict[str, str] = field(default_factory=versions)  # of the program that asks


def work(task: Task) -> tuple[Record, dict[str, Weights]]:
    """Train a run and tell its epochs on the way.

    Raises:
        NoData: the worker has no data set.
        UserError: the worker is not fit for this program's runs, or what `train` raises.
    """
    worker = get_worker()
    check(worker, task.versions)
    dataset = _dataset(task.experiment.data, worker.address)
    torch.set_num_threads(task.threads)

    def on_epoch(epoch: Epoch) -> None:
        worker.log_event(task.topic, {"key": task.experiment.key, "epoch": epoch.model_dump_json()})

    return train(task.experiment, dataset, on_epoch=on_epoch, checkpoint=task.checkpoint, origin=task.origin)


def check(worker, asked: dict[str, str]) -> None:
    """Refuse what would give other numbers, or two runs at a time in one process.

    A worker may join at any time, so each run looks.
    """
    if found := different(versions(), asked):
        raise UserError(f"The worker at {worker.address} has {found}; install the same there.")
    if worker.state.nthreads != 1:
        raise UserError(
            f"The worker at {worker.address} would train {worker.state.nthreads} runs at a time in one process; "
            "start workers with --nthreads 1, as many as there are cores."
        )


@cache  # verified once per process; the images stay in the mapped file
def _dataset(name: str, address: str) -> data.Dataset:
    if name == "cifar10":
        try:
            data.fetch("disk")  # not from the network: hundreds of workers would ask one public server
        except UserError as error:
            raise NoData(name, address) from error
    return data.load(name)


def receive(content: bytes) -> str:
    """Keep the data set that the client sent: in the cache, or where that can't be written, in a temporary folder.

    Returns:
        Where it is.
    """
    try:
        return str(data.install(content))
    except UserError:
        os.environ["WRITEUP_CACHE"] = tempfile.mkdtemp(prefix="longtail-writeup-")
        return str(data.install(content))
