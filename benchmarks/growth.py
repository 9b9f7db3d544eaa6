"""How the cost grows: with images, batch size, workers, replicas."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

import pandas as pd

from benchmarks.ladder import Whole
from benchmarks.process import Process, Row, in_turns
from benchmarks.task import Contender, Task
from lib import data
from lib.data import Dataset, ImageSet
from lib.training.replicas import train_together


def with_batch(
    task: Task, sizes: Sequence[int], *, threads: int, precision: str, images: int, repeats: int
) -> pd.DataFrame:
    """Speed by batch size: what `in_turns` returns, with a column `batch_size`."""
    rows = {f"{n}": Row(partial(Whole, replace(task, batch_size=n), precision=precision), threads) for n in sizes}
    return _numbered(rows, "batch_size", max(images, *sizes), repeats)


def with_workers(task: Task, cores: int, *, precision: str, images: int, repeats: int) -> pd.DataFrame:
    """Speed of 1, 2, 4 ... cores single-thread workers together: as `in_turns`, with a column `workers`.

    One team after another, not in turns: on many cores all teams at once would not fit into memory.
    """
    make = partial(Whole, task, precision=precision)
    teams = sorted({*(2**k for k in range(cores.bit_length()) if 2**k <= cores), cores})
    rows = {f"{n}": Row(make, threads=1, workers=n) for n in teams}
    return pd.concat([_numbered({name: row}, "workers", images, repeats) for name, row in rows.items()])


def with_images(task: Task, sizes: Sequence[int], *, threads: int, precision: str) -> pd.DataFrame:
    """Seconds of an epoch by the size of the training set, balanced: as `in_turns`, of which `images` is that size."""
    row = Row(partial(Whole, replace(task, factor=1.0), precision=precision), threads)
    frames = [_numbered({f"{n}": row}, "images", n, repeats=1) for n in sizes]
    return pd.concat(frames)


def with_replicas(
    task: Task, sizes: Sequence[int], *, threads: int, precision: str, images: int, repeats: int
) -> pd.DataFrame:
    """Speed of R runs fused into one model, all of them together; one process after another, for their memory.

    Args:
        images: of one measurement, over all replicas; each takes at least two steps.

    Returns:
        One row per size and measurement: replicas, images_per_second.
    """
    samples = []
    for replicas in sizes:
        make = partial(Fused, task, replicas=replicas, precision=precision)
        with Process(make, threads) as fused:
            samples += [(replicas, speed) for speed in fused.ask("speeds", images, repeats)]
    return pd.DataFrame(samples, columns=["replicas", "images_per_second"])


class Fused(Contender):
    """Runs that differ in their seeds, fused into one model (lib.training.replicas)."""

    def __init__(self, task: Task, *, replicas: int, precision: str):
        super().__init__(task)
        self.replicas, self.precision = replicas, precision

    def train(self, images: int) -> None:
        self.speeds(images, repeats=1)

    def speeds(self, images: int, repeats: int) -> list[float]:
        """Images per second of all together in each of several epochs on about so many images; not the first's."""
        base = self.task.experiment(precision=self.precision, epochs=repeats + 1, imbalance="none")
        whole = data.load(self.task.dataset)
        each = max(images // self.replicas, 2 * self.task.batch_size)
        few = ImageSet(whole.train.images[:each], whole.train.labels[:each])
        tiny = Dataset(few, ImageSet(few.images[:10], few.labels[:10]), whole.name, whole.digest)
        trained = train_together([base.replace(seed=seed) for seed in range(self.replicas)], tiny)
        epochs = zip(*(record.history[1:] for record, _ in trained), strict=True)
        return [sum(replica.images_per_second for replica in epoch) for epoch in epochs]


def _numbered(rows: Mapping[str, Row], name: str, images: int, repeats: int) -> pd.DataFrame:
    frame = in_turns(rows, images, repeats)
    return frame[frame.repeat > 0].assign(**{name: lambda f: f.contender.astype(int)})
