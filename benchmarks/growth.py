"""How the cost grows: with images, batch size and workers."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

import pandas as pd

from benchmarks.ladder import Whole
from benchmarks.process import Row, in_turns
from benchmarks.task import Task


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


def _numbered(rows: Mapping[str, Row], name: str, images: int, repeats: int) -> pd.DataFrame:
    frame = in_turns(rows, images, repeats)
    return frame[frame.repeat > 0].assign(**{name: lambda f: f.contender.astype(int)})
