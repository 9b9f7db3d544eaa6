"""Values of runs, intervals over seeds, paired comparisons. Accuracies are fractions.

Quantiles come from scipy.special, as importing scipy.stats takes every notebook a second.
"""

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import stdtrit

from lib.training import Record

#: Runs of one setting by their seed; runs of two settings are paired by it.
Runs = Mapping[int, Record]
Name = TypeVar("Name", bound=Hashable)  # of a setting

#: Test accuracy at the last epoch. The test set is balanced, so this is the mean over the classes too.
accuracy = attrgetter("last.test.accuracy")
#: Test accuracy at the best epoch on the test set, the write-up's rule.
best_accuracy = attrgetter("best.test.accuracy")
#: Test accuracy of each class at the last epoch, [C].
class_accuracies = attrgetter("last.test.per_class")


def records_of(*settings: Runs) -> list[Record]:
    """All records of some settings."""
    return [record for runs in settings for record in runs.values()]


def per_class(records: Sequence[Record], rule: str = "best") -> np.ndarray:
    """Test accuracy [runs, C] at the "best" epoch (the write-up's rule: the best on the test set) or the "last"."""
    return np.array([getattr(record, rule).test.per_class for record in records])


def by_seed(value: Callable[[Record], Any], *settings: Runs) -> np.ndarray:
    """A value of the runs of some settings from the seeds that all of them share, [settings, seeds, ...]."""
    seeds = sorted(set.intersection(*map(set, settings)))
    return np.array([[value(runs[seed]) for seed in seeds] for runs in settings])


def shared_seeds(runs: Mapping[Name, Runs], must: Name, least: int = 1) -> tuple[list[int], list[Name]]:
    """Seeds that settings share, and these settings: the choice with the most runs that includes `must`.

    A setting with few runs is left out, so that it does not cut all others down to its seeds.
    """
    choices = sorted({frozenset(by_seed.keys() & runs[must].keys()) for by_seed in runs.values()}, key=sorted)
    found = [
        (sorted(seeds), [name for name, by_seed in runs.items() if seeds <= by_seed.keys()])
        for seeds in choices
        if len(seeds) >= least
    ]
    return max(found, key=lambda choice: len(choice[0]) * len(choice[1]), default=([], []))


def one_image(runs: Runs, classes: int = 0) -> float:
    """The accuracy that one test image makes up: among all images, or among those of so many classes."""
    confusion = np.asarray(next(iter(runs.values())).last.test.confusion)
    return 1 / (confusion.sum() * (classes or len(confusion)) / len(confusion))


def mean_interval(values: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Mean [...] over the first axis of values [seeds, ...], and half the width of its 95 % interval (Student's t).

    The half-widths are NaN for a single seed, which says nothing about the spread.
    """
    array = np.asarray(values, dtype=float)
    n, mean = len(array), array.mean(axis=0)
    if n < 2:
        return mean, np.full_like(mean, np.nan)
    return mean, stdtrit(n - 1, 0.975) * array.std(axis=0, ddof=1) / np.sqrt(n)


def prediction_interval(values: Sequence[float]) -> tuple[float, float]:
    """95 % prediction interval of one more run, given some (Student's t); NaN for a single one."""
    mean, half = mean_interval(values)
    wider = math.sqrt(len(values) + 1)  # of the mean's own uncertainty: sqrt(1 + 1/n) beside sqrt(1/n)
    return float(mean - half * wider), float(mean + half * wider)


@dataclass(frozen=True)
class Difference:
    """Mean of paired differences with its confidence interval (Student's t); arrays for one of every class.

    With one pair there is no interval: `low` and `high` are NaN, and nothing compares as true with them.
    """

    mean: Any
    low: Any
    high: Any
    pairs: int

    @property
    def above(self) -> Any:
        """True if the interval lies above zero."""
        return self.low > 0

    @property
    def below(self) -> Any:
        """True if the interval lies below zero."""
        return self.high < 0

    def within(self, margin: float) -> bool:
        """True if the interval lies inside (-margin, margin)."""
        return -margin < self.low and self.high < margin


def contrasts(
    values: ArrayLike,  # [settings, seeds], or [settings, seeds, C] for C differences in one
    pairs: Sequence[tuple[int, int]],  # (i, j) for the mean of setting i less that of setting j
    level: float = 0.95,
    comparisons: int = 1,  # differences looked at together: all of these intervals hold at `level` (Bonferroni)
    floor: float = 0.0,  # lower bound on the standard deviation of a value, as that of one image: seeds may agree
) -> list[Difference]:
    """Differences between settings that were run from the same seeds, with Student's t intervals.

    The variance is what settings and seeds leave unexplained (two-way layout, seeds as blocks), pooled over all
    settings: with two of them this is the paired t test, with more there are more degrees of freedom, so that three
    seeds say something about ten differences. The intervals are about seeds, on this test set.
    """
    array = np.asarray(values, dtype=float)
    settings, seeds = array.shape[:2]
    means, half = array.mean(axis=1) if seeds else np.full(settings, np.nan), np.nan
    if pairs and seeds > 1:
        unexplained = array - means[:, None] - array.mean(axis=0) + array.mean(axis=(0, 1))
        freedom = (settings - 1) * (seeds - 1)
        variance = np.maximum((unexplained**2).sum(axis=(0, 1)) / freedom, floor**2)
        half = stdtrit(freedom, 1 - (1 - level) / (2 * comparisons)) * np.sqrt(2 * variance / seeds)
    differences = [means[i] - means[j] for i, j in pairs]
    return [Difference(d, d - half, d + half, seeds) for d in differences]


def paired_difference(a: ArrayLike, b: ArrayLike, comparisons: int = 1, floor: float = 0.0) -> Difference:
    """Mean of a - b [pairs], paired by seed (equal initial weights, order and crops): the paired t test's interval."""
    return contrasts(np.array([a, b]), [(0, 1)], comparisons=comparisons, floor=floor)[0]
