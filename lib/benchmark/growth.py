"""How the cost grows: with images, batch size, workers, replicas."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

import pandas as pd

from lib import data
from lib.benchmark.ladder import Whole
from lib.benchmark.process import Process, Row, in_turns
from lib.benchmark.task import Contender, Task
from lib.data import Dataset, ImageSet
from lib.training.replicas import train_together


def with_batch(
    task: Task, sizes: Sequence[int], *, threads: int, precision: str, images: int, repeats: int
) -> pd.DataFrame:
    """Speed by batch size: what `in_turns` returns, with a column `batch_size`."""
    rows = {f"{n}": Row(partial(Whole, replace(task, batch_size=n), precision=precision), threads) for n in sizes}
    return _numbered(rows, "batch_size", max(images, *sizes), repeats)


def with_workers(task: Task, cores: int, *, precision: str, images: int, repeats: int) -> pd.DataFrame:
    """Speed of 1 ... cores single-thread workers together: as `in_turns`, with a column `workers`."""
    make = partial(Whole, task, precision=precision)
    rows = {f"{n}": Row(make, threads=1, workers=n) for n in range(1, cores + 1)}
    return _numbered(rows, "workers", images, repeats)


def with_images(task: Task, sizes: Sequence[int], *, threads: int, precision: str) -> pd.DataFrame:
    """Seconds of an epoch by the size of the training set, balanced: as `in_turns`, of which `images` is that size."""
    row = Row(partial(Whole, replace(task, factor=1.0), precision=precision), threads)
    frames = [_numbered({f"{n}": row}, "images", n, repeats=1) for n in sizes]
    return pd.concat(frames)


def with_replicas(task: Task, sizes: Sequence[int], *, threads: int, precision: str, batches: int) -> pd.DataFrame:
    """Speed of R runs fused into one model, all of them together; one process after another, for their memory.

    Args:
        batches: steps of one measurement.

    Returns:
        One row per size: replicas, images_per_second.
    """
    samples = []
    for replicas in sizes:
        with Process(partial(Fused, task, replicas=replicas, precision=precision), threads) as fused:
            samples.append((replicas, fused.ask("speed", replicas * batches * task.batch_size)))
    return pd.DataFrame(samples, columns=["replicas", "images_per_second"])


class Fused(Contender):
    """Runs that differ in their seeds, fused into one model (lib.training.replicas)."""

    def __init__(self, task: Task, *, replicas: int, precision: str):
        super().__init__(task)
        base = task.experiment(precision=precision, epochs=2, imbalance="none")
        self.experiments = [base.replace(seed=seed) for seed in range(replicas)]

    def train(self, images: int) -> None:
        self.speed(images)

    def speed(self, images: int) -> float:
        """Images per second of all together in the second of two epochs on about so many images."""
        whole = data.load(self.task.dataset)
        each = images // len(self.experiments)
        few = ImageSet(whole.train.images[:each], whole.train.labels[:each])
        tiny = Dataset(few, ImageSet(few.images[:10], few.labels[:10]), whole.name, whole.digest)
        return sum(record.last.images_per_second for record, _ in train_together(self.experiments, tiny))


def _numbered(rows: Mapping[str, Row], name: str, images: int, repeats: int) -> pd.DataFrame:
    frame = in_turns(rows, images, repeats)
    return frame[frame.repeat > 0].assign(**{name: lambda f: f.contender.astype(int)})
