"""Code that Dask workers run: their versions, the arrival of the data set, and one run."""

import time
from collections.abc import Callable, Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch
from distributed import get_worker

from lib import data
from lib.experiment import Experiment
from lib.system.errors import UserError
from lib.training import Epoch, Interrupted, Record, Weights, train

_EVERY = 1.0  # seconds between two signs of life within an epoch
_load = cache(data.load)  # verified once per process; the images stay in the mapped file


def examiner() -> Callable[[], Any]:
    """Return a function that gives the versions of everything that decides a run's numbers, or why there are none.

    It is nested, so that it travels as its code: a worker can have any version of lib, or none.
    """

    def versions() -> Any:
        from importlib.metadata import version

        try:
            import lib.training
            from lib.experiment import NUMERICS_VERSION

            torch = version("torch").partition("+")[0]  # CPU and CUDA builds of one version go together
        except Exception as error:
            return f"it cannot run this program ({type(error).__name__}: {error})"
        return {"lib": lib.__version__, "numerics": str(NUMERICS_VERSION), "torch": torch}

    return versions


def difference(found: Any, wanted: dict[str, str]) -> str:
    """Return the reason why a worker of the versions found cannot train for this program; "" where it can."""
    if isinstance(found, str):
        return found
    differing = [name for name in wanted if found[name] != wanted[name]]
    other = [f"{name} {found[name]} where this program has {wanted[name]}" for name in differing]
    return f"it has {', '.join(other)}; install the same there" if other else ""


def receive(content: bytes | None) -> str:
    """Keep CIFAR-10 as the client sent it; without content look on the disk only: all workers would ask one server.

    Returns the reason where CIFAR-10 is not on this machine's disk now, else "".
    """
    try:
        data.fetch("disk") if content is None else data.install(content)
    except (UserError, OSError) as error:
        return str(error)
    return ""


def work(
    experiment: Experiment,
    origin: str,
    topic: str,
    threads: int,
    checkpoint: Path | None,
    states: Mapping[int, Path] | None = None,
) -> tuple[Record, dict[str, Weights]] | None:
    """Train a run, as `train`; its start and its epochs are logged under `topic`. None if nobody waits for it."""
    worker = get_worker()
    task = worker.get_current_task()
    dataset = _load(experiment.data)
    torch.set_num_threads(threads)
    worker.log_event(topic, {"task": task})

    def on_epoch(epoch: Epoch) -> None:
        worker.log_event(topic, {"task": task, "epoch": epoch.model_dump_json()})

    told = 0.0  # when a step was last logged

    def on_step(*step: int) -> bool:
        nonlocal told
        if time.monotonic() - told > _EVERY:
            told = time.monotonic()
            worker.log_event(topic, {"task": task, "step": step})
        state = worker.state.tasks.get(
            task
        )  # gone with the client: Dask cannot stop a thread, the next run waits for it
        return state is None or state.state == "cancelled"

    try:
        kept = partial(train, checkpoint=checkpoint, states=states, origin=origin)
        return kept(experiment, dataset, on_epoch=on_epoch, on_step=on_step)
    except Interrupted:
        return None
