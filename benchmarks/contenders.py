"""The rows of the comparison: the loops that people use today, and this project's, one change at a time."""

import importlib.util
import shutil
from functools import partial

import pandas as pd

from benchmarks.loops import Steps, Task, Whole
from benchmarks.peers import Lightning, PlainLoop
from benchmarks.process import Make, Row
from lib.system.errors import UserError

PLAIN = "plain loop"
LIGHTNING = "PyTorch Lightning"
FLAGS = "plain loop, free flags"
FLOAT32 = "this project, float32"
ONE_RUN = "this project, one run"
SIDE_BY_SIDE = "this project, runs side by side"
AS_IT_IS = "as it is"
COMPILED = "torch.compile"

#: Rows with the arithmetic of an earlier one: their accuracy is that row's, and not trained again.
SAME_NUMBERS = ("+ loss read once an epoch", "+ fused optimiser", "+ freed memory kept")

#: Meaning of each row, in the order of the table.
MEANING = {
    PLAIN: "torchvision DataLoader without workers, PIL transforms, loss and accuracy read at every step, float32",
    FLAGS: "the same with channels-last, bfloat16 autocast (where the machine has it) and DataLoader workers",
    LIGHTNING: "Trainer with its defaults, the same loader, float32",
    "+ images as tensors": "crops and flips of a block of images in one gather, in place of DataLoader and PIL",
    "+ loss read once an epoch": "no number is read during an epoch",
    "+ channels-last": "layout of images and weights",
    "+ fused optimiser": "one kernel for all parameters",
    "+ freed memory kept": "the C library keeps a step's memory for the next step",
    FLOAT32: "all of it, as every run of this project is trained, in float32",
    ONE_RUN: "the same with bfloat16 autocast, where the machine has it",
    SIDE_BY_SIDE: "one run per core, one thread each: a sweep",
}


def meanings() -> pd.DataFrame:
    """The rows and their meanings, as a table."""
    return pd.DataFrame({"what": MEANING}).rename_axis("loop")


def check_installed() -> None:
    """Raise UserError where PyTorch Lightning is not installed."""
    if importlib.util.find_spec("pytorch_lightning") is None:
        raise UserError("The benchmark compares with PyTorch Lightning, which is not installed. Try: make .venv/peers")


def makes(task: Task, cores: int, bfloat16: bool) -> dict[str, Make]:
    """The contenders by name, each as a callable that makes it; several may compute the same numbers.

    Args:
        cores: worker processes of a DataLoader that has them.
        bfloat16: the machine computes in it; otherwise the rows that use it are in float32.
    """
    steps = partial(Steps, task)
    precision = "bfloat16" if bfloat16 else "float32"
    off = {"read_every_step": False, "channels_last": False, "fused": False, "keep_memory": False}
    return {
        PLAIN: partial(PlainLoop, task),
        FLAGS: partial(PlainLoop, task, workers=cores, channels_last=True, precision=precision),
        LIGHTNING: partial(Lightning, task),
        "+ images as tensors": partial(steps, **off | {"read_every_step": True}),
        "+ loss read once an epoch": partial(steps, **off),
        "+ channels-last": partial(steps, **off | {"channels_last": True}),
        "+ fused optimiser": partial(steps, **off | {"channels_last": True, "fused": True}),
        "+ freed memory kept": steps,
        FLOAT32: partial(Whole, task),
        ONE_RUN: partial(Whole, task, precision=precision),
    }


def gated(task: Task, cores: int, bfloat16: bool) -> dict[str, Make]:
    """The contenders whose accuracy has to be measured."""
    return {name: make for name, make in makes(task, cores, bfloat16).items() if name not in SAME_NUMBERS}


def comparison(task: Task, cores: int, threads: int, bfloat16: bool) -> dict[str, Row]:
    """Every contender, and this project's runs side by side.

    Args:
        threads: of each process that has the machine to itself: PyTorch's default, which may be fewer than `cores`.
    """
    made = makes(task, cores, bfloat16)
    rows = {name: Row(make, threads) for name, make in made.items()}
    return rows | {SIDE_BY_SIDE: Row(made[ONE_RUN], threads=1, workers=cores)}


def recommended(task: Task, threads: int, bfloat16: bool) -> dict[str, Row]:
    """Settings that are often recommended, beside the same loop without them."""
    steps = partial(Steps, task, precision="bfloat16" if bfloat16 else "float32")
    rows = {AS_IT_IS: Row(steps, threads)}
    if shutil.which("g++") or shutil.which("clang++"):  # torch.compile needs one on a CPU
        rows[COMPILED] = Row(partial(steps, compiled=True), threads)
    return rows | {
        "OMP_WAIT_POLICY=passive": Row(steps, threads, environment=(("OMP_WAIT_POLICY", "passive"),)),
        "transparent huge pages": Row(steps, threads, environment=(("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1"),)),
    }
