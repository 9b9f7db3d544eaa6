"""Bars for the training loop: ratios and shares, mostly, of one run on one machine."""

import math
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks import measure, summary
from benchmarks.contenders import FLOAT32, ONE_RUN, PLAIN, SIDE_BY_SIDE, check_installed, comparison
from benchmarks.loops import Task
from benchmarks.process import in_turns
from lib.analysis import original

#: Training images of the long-tailed set and of all of CIFAR-10.
LONG_TAIL, ALL = 12_406, 50_000


@dataclass(frozen=True)
class Measured:
    """The measurements that the bars are compared with."""

    conditions: pd.DataFrame
    speed: Mapping[str, pd.DataFrame]  # by model
    shares: Mapping[str, pd.DataFrame]  # by model
    start: pd.DataFrame
    memory: pd.DataFrame
    reached: pd.DataFrame | None = None

    @classmethod
    def load(cls, folder: Path) -> "Measured":
        """The measurements of a run, from its CSV files."""
        tables = (measure.load(folder, name)[""] for name in ("conditions", "start_up", "memory", "reached"))
        conditions, start, memory, reached = tables
        speed, shares = (measure.load(folder, name) for name in ("speed", "shares"))
        return cls(conditions, speed, shares, start, memory, reached)

    def abilities(self) -> frozenset[str]:
        """The properties of the machine that a bar may need."""
        facts = dict(zip(self.conditions.what, map(str, self.conditions.value), strict=True))
        several = {"several cores"} if int(facts["cores"]) > 1 else set()
        return frozenset({facts["device"].partition(":")[0], facts["precision"]} | several)

    def ratio(self, model: str, name: str, base: str) -> float:
        """Speed of one contender over another's, median of the turns."""
        return summary.ratios(self.speed[model], name, base).median()

    def share(self, model: str, images: int, part: int) -> float:
        """Share of an epoch (%): 0 for the data path, 1 for the evaluation."""
        return 100 * summary.epoch_shares(self.shares[model], images)[part].median()

    def seconds(self, what: str) -> float:
        """Median of a waiting time; NaN where it was not measured."""
        return self.start[self.start.what == what].seconds.median()

    def times(self) -> pd.Series:
        """Seconds to the original's accuracy, by run; infinite where it was not reached."""
        if self.reached is None:
            return pd.Series(dtype=float)
        return summary.seconds_to(self.reached, original.figures()["convnet"]["accuracy"]).fillna(math.inf)


@dataclass(frozen=True)
class Bar:
    """A number that a measurement has to reach, on machines that have all of `needs`."""

    what: str
    bar: float
    value: Callable[[Measured], float]
    at_least: bool = True
    unit: str = "×"
    needs: frozenset[str] = frozenset()
    out_of_reach: bool = False  # limited by the machine: the check prints it and does not fail for it

    def line(self, measured: Measured) -> tuple[str, str, str, str]:
        """The bar's name, its number, the measured value, the verdict."""
        value = self.value(measured)
        shown = "–" if math.isnan(value) else f"{value:.3g} {self.unit}"
        return self.what, f"{'≥' if self.at_least else '≤'} {self.bar:g} {self.unit}", shown, self.verdict(measured)

    def verdict(self, measured: Measured) -> str:
        """Reached or missed; or the reason why there is no verdict."""
        if lacking := self.needs - measured.abilities():
            return f"not for this machine (needs {', '.join(sorted(lacking))})"
        value = self.value(measured)
        if math.isnan(value):
            return "not measured"
        if value >= self.bar if self.at_least else value <= self.bar:
            return "reached"
        return "missed (a known limit)" if self.out_of_reach else "missed"


def _faster(model: str, row: str, base: str, what: str, bar: float, *needs: str) -> Bar:
    return Bar(f"{model}, {what}", bar, lambda m: m.ratio(model, row, base), needs=frozenset({"cpu", *needs}))


def _at_most(what: str, bar: float, unit: str, value: Callable[[Measured], float], *needs: str) -> Bar:
    return Bar(what, bar, value, at_least=False, unit=unit, needs=frozenset(needs))


def _share(model: str, images: int, part: int, what: str, bar: float) -> Bar:
    return _at_most(f"{model}{what}", bar, "%", lambda m: m.share(model, images, part), "cpu")


def _wait(what: str, bar: float) -> Bar:
    return _at_most(what, bar, "s", lambda m: m.seconds(what))


BARS = [
    _faster("ConvNet", ONE_RUN, PLAIN, "one run beside the plain loop", 3.0, "bfloat16"),
    _faster("ResNet-32", ONE_RUN, PLAIN, "one run beside the plain loop", 1.6, "bfloat16"),
    _faster("ResNet-32", SIDE_BY_SIDE, PLAIN, "a sweep beside the plain loop", 2.2, "bfloat16", "several cores"),
    _faster("ResNet-32", FLOAT32, PLAIN, "one run in float32 beside it", 1.2),
    _faster("ConvNet", SIDE_BY_SIDE, ONE_RUN, "a sweep beside one run", 1.15, "several cores"),
    _faster("ResNet-32", SIDE_BY_SIDE, ONE_RUN, "a sweep beside one run", 1.15, "several cores"),
    _share("ConvNet", ALL, 0, ", data path", 5),
    _share("ResNet-32", ALL, 0, ", data path", 5),
    _share("ConvNet", ALL, 1, " on all images, evaluation", 8),
    _share("ResNet-32", ALL, 1, " on all images, evaluation", 8),
    # Out of reach: an epoch of 12,406 images is followed by an evaluation of 10,000.
    replace(_share("ResNet-32", LONG_TAIL, 1, " on the long tail, evaluation", 8), out_of_reach=True),
    _at_most("ConvNet, median time to the original's accuracy", 90, "s", lambda m: m.times().median(), "bfloat16"),
    Bar("ConvNet, runs that reach it", 100, lambda m: 100 * np.isfinite(m.times()).mean(), unit="%"),
    _wait(measure.HELP, 0.2),
    _wait(measure.IMPORT, 1.5),
    _wait(measure.DATA, 0.5),
    _wait(measure.REPORT, 5),
    _at_most("peak memory of a sweep worker", 1.2, "GB", lambda m: m.memory.peak.max() / 1e9, "cpu"),
]


def table(measured: Measured) -> pd.DataFrame:
    """Every bar, and the measured value."""
    lines = [bar.line(measured) for bar in BARS]
    return pd.DataFrame(lines, columns=["what", "bar", "measured", ""]).set_index("what")


def take(*, images: Mapping[str, int], repeats: int, dataset: str = "cifar10") -> Measured:
    """The measurements that the bars need, except the time to an accuracy.

    Args:
        images: of one measurement, by model.
    """
    conditions = measure.conditions()
    facts = dict(conditions.to_numpy())
    cores, threads, precision = facts["cores"], facts["threads"], facts["precision"]
    tasks = {model: Task(model, dataset=dataset) for model in images}
    needed = (PLAIN, FLOAT32, ONE_RUN, SIDE_BY_SIDE)
    speed, shares = {}, {}
    for model, task in tasks.items():
        rows = comparison(task, cores, threads, precision == "bfloat16")
        speed[model] = in_turns({name: rows[name] for name in needed}, images[model], repeats)
        shares[model] = measure.shares(
            replace(task, factor=1.0),
            threads=threads,
            precision=precision,
            images=images[model],
            # A ConvNet's step is so short that a moment of the machine's noise is several per cent of it.
            repeats=2 * repeats if model == "ConvNet" else repeats,
        )
    memory = measure.worker_memory(tasks["ResNet-32"], cores, precision)
    return Measured(conditions, speed, shares, measure.start_up(dataset, repeats=3), memory)


def check() -> None:
    """Measure, print every bar, and exit with 1 when one is missed."""
    check_installed()
    measured = take(images={"ConvNet": 4096, "ResNet-32": 1024}, repeats=5)
    missed = []
    for bar in BARS:
        what, asked, value, verdict = bar.line(measured)
        print(f"{what:47} {asked:>10} {value:>12}   {verdict}")
        if verdict == "missed":
            missed.append(what)
    if missed:
        sys.exit(f"Missed: {', '.join(missed)}. Timings are noisy: is anything else running?")
