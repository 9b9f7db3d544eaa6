"""The measurements, as data frames with one row per single measurement, and as CSV files."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from pathlib import Path

import pandas as pd
import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

import lib
from benchmarks.loops import Bare, Task, Whole
from benchmarks.process import Process, Row, in_turns, together
from lib import data, models
from lib.experiment import Experiment
from lib.runs import sweep
from lib.runs.store import Store
from lib.system import device, paths

#: The waiting times.
HELP, TORCH, IMPORT = "the command line's help", "import of torch alone", "import of lib with torch"
DATA, REPORT = "the data set from the local cache", "the report's files from executed notebooks"
#: Code for the first three, each in a fresh interpreter, whose start counts.
_STARTS = {
    HELP: "import longtail_writeup.__main__ as m; m.app(['--help'], standalone_mode=False)",
    TORCH: "import torch",
    IMPORT: "import lib.training",
}
#: Code that prints its own seconds, once everything is imported.
_DATA = """
import time
import lib.training
from lib import data
start = time.perf_counter()
data.load({!r})
print(time.perf_counter() - start)
"""
_REPORT = """
import tempfile, time
from pathlib import Path
import nbconvert_typst
from benchmarks.report import document, write_report
start = time.perf_counter()
with tempfile.TemporaryDirectory() as folder:
    write_report(document("Timed", sorted(Path({!r}).glob("*.ipynb"))), Path(folder))
    print(time.perf_counter() - start)
"""
#: Sides of square matrices; (channels, side, images) of 3x3 convolutions.
_MATRICES = (512, 1024, 2048)
_CONVOLUTIONS = ((16, 32, 32), (64, 32, 64), (128, 16, 64), (256, 16, 32))


def save(folder: Path, name: str, frames: pd.DataFrame | Mapping[str, pd.DataFrame]) -> None:
    """Write the single measurements behind a table or figure to `<name>.csv`; several frames get a column `of`."""
    if not isinstance(frames, pd.DataFrame):
        frames = pd.concat([frame.assign(of=key) for key, frame in frames.items()])
    folder.mkdir(parents=True, exist_ok=True)
    unfinished = folder / f"{name}.tmp"
    frames.to_csv(unfinished, index=False, float_format="%.6g")
    unfinished.replace(folder / f"{name}.csv")


def load(folder: Path, name: str) -> dict[str, pd.DataFrame]:
    """The frames that `save` wrote, by their name in the column `of`; a frame without that column as ""."""
    frame = pd.read_csv(folder / f"{name}.csv")
    return dict(tuple(frame.groupby("of", sort=False))) if "of" in frame else {"": frame}


def conditions() -> pd.DataFrame:
    """The machine and the versions: what, value."""
    facts = dict(device.describe()) | {name: version(name) for name in ("torchvision", "pytorch-lightning")}
    precision = "bfloat16" if device.has_bfloat16(device.default_device().type) else "float32"
    facts |= {"lib": lib.__version__, "precision": precision}
    return pd.DataFrame(facts.items(), columns=["what", "value"])


def growth(
    task: Task,
    batch_sizes: Sequence[int],
    training_images: Sequence[int],
    *,
    cores: int,
    threads: int,
    precision: str,
    images: int,
    repeats: int,
) -> dict[str, pd.DataFrame]:
    """Speed by batch size, by single-thread workers side by side (1, 2, 4 ... cores), and by training images.

    Returns:
        What `in_turns` returns, without cold starts, each with the numbers in a column of its name. Workers and
        training images are measured one after another: on many cores all at once would not fit into memory.
    """
    make = partial(Whole, task, precision=precision)
    balanced = Row(partial(Whole, replace(task, factor=1.0), precision=precision), threads)
    batches = {n: Row(partial(Whole, replace(task, batch_size=n), precision=precision), threads) for n in batch_sizes}
    teams = sorted({*(2**k for k in range(cores.bit_length()) if 2**k <= cores), cores})
    measured = {
        "batch_size": [in_turns(batches, max(images, *batch_sizes), repeats)],
        "workers": [in_turns({n: Row(make, threads=1, workers=n)}, images, repeats) for n in teams],
        "images": [in_turns({n: balanced}, n, repeats=1) for n in training_images],
    }
    joined = {name: pd.concat(frames, ignore_index=True) for name, frames in measured.items()}
    return {name: frame[frame.repeat > 0].assign(**{name: frame.contender}) for name, frame in joined.items()}


def shares(task: Task, *, threads: int, precision: str, images: int, repeats: int) -> pd.DataFrame:
    """Seconds of an epoch and of its parts, measured in turns.

    Args:
        images: of one measurement of the training.

    Returns:
        One row per repeat: `bare` (steps on one fixed batch), `epoch` (the same number of steps of a whole
        epoch), both in seconds per image, and `evaluation` in seconds for the whole test set.
    """
    with (
        Process(partial(Bare, task, precision=precision), threads) as bare,
        Process(partial(Whole, task, precision=precision), threads) as whole,
    ):
        parts: dict[str, Callable[[], object]] = {
            "bare": lambda: bare.ask("train", images),
            "epoch": lambda: whole.ask("train", images),
            "evaluation": lambda: whole.ask("evaluate"),
        }
        for part in parts.values():
            part()  # first allocations are not measured
        frame = pd.DataFrame([{name: _seconds(part) for name, part in parts.items()} for _ in range(repeats)])
    return frame.assign(bare=frame.bare / images, epoch=frame.epoch / images)


def start_up(dataset: str, repeats: int) -> pd.DataFrame:
    """Seconds until the command line has printed its help, torch is imported, the data set is loaded, a report written.

    Returns:
        One row per measurement: what, seconds. The first three include the start of the interpreter; the others are
        timed after the imports. The report is that of the executed notebooks which this repository stores for the
        quick profile, without its front page; it is left out where there are none.
    """
    timed = {DATA: _DATA.format(dataset)}
    if list((notebooks := paths.PUBLISHED / "quick").glob("*.ipynb")):
        timed[REPORT] = _REPORT.format(str(notebooks))
    samples = []
    for _ in range(repeats):
        samples += [(what, _seconds(partial(_python, code))) for what, code in _STARTS.items()]
        samples += [(what, float(_python(code))) for what, code in timed.items()]
    return pd.DataFrame(samples, columns=["what", "seconds"])


def worker_memory(task: Task, workers: int, precision: str, images: int = 640) -> pd.DataFrame:
    """Memory of sweep workers at work side by side, in bytes.

    Returns:
        One row per worker: worker, resident, private and peak (see `Contender.memory`), after a training of so many
        images and an evaluation.
    """
    make = partial(Whole, task, precision=precision)
    with ExitStack() as stack:
        team = [stack.enter_context(Process(make, threads=1)) for _ in range(workers)]
        together(team, "train", images)
        together(team, "evaluate")
        return pd.DataFrame([{"worker": n, **process.ask("memory")} for n, process in enumerate(team, start=1)])


def reached(experiments: Sequence[Experiment], folder: Path, origin: str) -> pd.DataFrame:
    """Train runs one at a time on all cores, always afresh, as their time is measured; stored in `folder`/runs.

    Returns:
        One row per run and epoch: run, seed, threads, epoch, images, images_per_second, test_accuracy.
    """
    shutil.rmtree(folder / "runs", ignore_errors=True)
    records = sweep.run(experiments, store=Store(folder / "runs"), origin=origin, workers=1)
    return pd.DataFrame(
        {
            "run": record.key,
            "seed": record.experiment.seed,
            "threads": record.machine["threads"],
            "epoch": epoch.epoch,
            "images": sum(record.counts),
            "images_per_second": epoch.images_per_second,
            "test_accuracy": epoch.test.accuracy,
        }
        for record in records
        for epoch in record.history
    )


def matrix_product_rate(precision: str, on: torch.device) -> float:
    """Largest rate of a product of two square matrices, FLOP/s (a multiplication and an addition are two)."""
    dtype = getattr(torch, precision)

    def rate(n: int) -> float:
        a, b = torch.randn(n, n, device=on).to(dtype), torch.randn(n, n, device=on).to(dtype)
        return 2 * n**3 / _shortest(lambda: a @ b, on)

    return max(rate(n) for n in _MATRICES)


def convolution_rate(precision: str, on: torch.device) -> float:
    """Largest rate of a 3x3 convolution, channels-last and forward, FLOP/s."""
    dtype = getattr(torch, precision)

    def rate(channels: int, side: int, images: int) -> float:
        x = torch.randn(images, channels, side, side, device=on).to(dtype, memory_format=torch.channels_last)
        w = torch.randn(channels, channels, 3, 3, device=on).to(dtype, memory_format=torch.channels_last)
        return 2 * images * side**2 * 9 * channels**2 / _shortest(lambda: F.conv2d(x, w, padding=1), on)

    return max(rate(*shape) for shape in _CONVOLUTIONS)


def flops_per_image(model: str) -> int:
    """Floating-point operations of one training step per image, forward and backward; convolutions and products."""
    network = models.build(model, seed=0, classes=len(data.classes("cifar10")))
    with FlopCounterMode(display=False) as counter:  # two images, as BatchNorm does not train on one pixel
        network(torch.zeros(2, 3, 32, 32)).sum().backward()
    return counter.get_total_flops() // 2


def _seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def _python(code: str) -> str:
    environment = {**os.environ, "TERM": "dumb"}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, cwd=paths.ROOT, env=environment, check=True, capture_output=True, text=True).stdout


@torch.inference_mode()
def _shortest(call: Callable[[], object], on: torch.device, repeats: int = 9) -> float:
    """The shortest of several timings in seconds: a limit is measured, not the usual time."""
    device.keep_freed_memory()
    times = []
    for _ in range(repeats + 2):
        start = time.perf_counter()
        call()
        if on.type == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return min(times[2:])
