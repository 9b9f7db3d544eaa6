"""Values of runs, intervals over seeds, comparisons of settings. Accuracies are fractions.

Settings are compared by Welch's t test. Their seeds are not paired: the correlation of two settings over their seeds is
not reliable, and settings may have run from different seeds. Quantiles come from scipy.special, as importing
scipy.stats takes every notebook a second.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import stdtrit

from lib.training import Record

Runs = Mapping[int, Record]  # runs of one setting by their seed

#: Test accuracy at the last epoch. The test set is balanced, so this is the mean over the classes too.
accuracy = attrgetter("last.test.accuracy")
#: Test accuracy at the best epoch on the test set, the write-up's rule.
best_accuracy = attrgetter("best.test.accuracy")
class_accuracies = attrgetter("last.test.per_class")  # test accuracy of each class at the last epoch, [C]

POWER = 0.8  # probability with which a difference of the size that `Difference.detectable` states is found


def records_of(*settings: Runs) -> list[Record]:
    """All records of some settings."""
    return [record for runs in settings for record in runs.values()]


def per_class(records: Sequence[Record], rule: str = "best") -> np.ndarray:
    """Test accuracy [runs, C] at the "best" epoch (the write-up's rule: the best on the test set) or the "last"."""
    return np.array([getattr(record, rule).test.per_class for record in records])


def values(value: Callable[[Record], Any], runs: Runs) -> np.ndarray:
    """Return a value of every run of a setting, [seeds, ...]."""
    return np.array([value(runs[seed]) for seed in sorted(runs)])


def one_image(runs: Runs, classes: int = 0) -> float:
    """The accuracy that one test image makes up: among all images, or among those of so many classes."""
    confusion = np.asarray(next(iter(runs.values())).last.test.confusion)
    return 1 / (confusion.sum() * (classes or len(confusion)) / len(confusion))


def mean_interval(values: ArrayLike, comparisons: ArrayLike = 1, floor: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Mean [...] over the first axis of values [seeds, ...], and half the width of its 95 % interval (Student's t).

    The half-widths are NaN for one seed, which says nothing about the spread. `comparisons`, `floor` as in `welch`.
    """
    array = np.asarray(values, dtype=float)
    n, mean = len(array), array.mean(axis=0)
    if n < 2:
        return mean, np.full(np.broadcast_shapes(np.shape(comparisons), mean.shape), np.nan)
    deviation = np.maximum(array.std(axis=0, ddof=1), floor)
    return mean, stdtrit(n - 1, 1 - 0.025 / np.asarray(comparisons)) * deviation / math.sqrt(n)


def prediction_interval(values: ArrayLike, comparisons: ArrayLike = 1, floor: float = 0.0) -> tuple[Any, Any]:
    """Ends [...] of the 95 % prediction interval of one more run, given some; arguments as for `mean_interval`."""
    mean, half = mean_interval(values, comparisons, floor)
    wider = math.sqrt(len(np.asarray(values)) + 1)  # than the mean's own: sqrt(1 + 1/n) beside sqrt(1/n)
    return mean - half * wider, mean + half * wider


def sampling_error(accuracies: ArrayLike, images: int) -> float:
    """Half the 95 % interval of a mean accuracy that comes from drawing the test set, for one fixed model.

    `accuracies` are [C], of so many test images each (stratified binomial). Seeds do not reduce it: all share them.
    """
    p = np.asarray(accuracies, dtype=float)
    return float(1.96 * np.sqrt((p * (1 - p) / images).sum()) / len(p))


@dataclass(frozen=True)
class Difference:
    """Difference of two settings' means with its confidence interval; arrays for one of every class.

    Where a setting has one run there is no interval: the ends are NaN, and nothing compares as true with them.
    """

    mean: Any
    low: Any
    high: Any
    seeds: tuple[int, int]  # runs of each setting
    deviation: Any  # standard deviation of a run, root mean square of both settings
    detectable: Any  # true difference that these runs show with a probability of POWER

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


def welch(
    a: ArrayLike,  # [seeds of one setting, ...]
    b: ArrayLike,  # [seeds of the other, ...]
    comparisons: ArrayLike = 1,  # differences looked at together: their intervals all hold at `level` (Bonferroni)
    level: float = 0.95,
    floor: float = 0.0,  # lower bound on the standard deviation of a run, as that of one image: seeds may agree
    one_more: bool = False,  # give the prediction interval of one more run of each
) -> Difference:
    """Mean of `a` less mean of `b` with its interval (Welch 1947). The interval is about seeds, on this test set."""
    first, second = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    n, m = seeds = len(first), len(second)
    mean = first.mean(axis=0) - second.mean(axis=0) if n and m else np.float64(np.nan)
    if min(seeds) < 2:
        unknown = np.full_like(mean, np.nan)
        return Difference(mean, unknown, unknown, seeds, unknown, unknown)
    v, w = (np.maximum(each.var(axis=0, ddof=1), floor**2) for each in (first, second))
    p, q = v * (one_more + 1 / n), w * (one_more + 1 / m)
    variance = p + q
    with np.errstate(invalid="ignore"):  # 0 / 0 where all runs agree and there is no floor
        freedom = variance**2 / (p**2 / (n - 1) + q**2 / (m - 1))
    freedom = np.where(variance > 0, freedom, n + m - 2)
    quantile = stdtrit(freedom, 1 - (1 - level) / (2 * np.asarray(comparisons)))
    half, detectable = (np.sqrt(variance) * q for q in (quantile, quantile + stdtrit(freedom, POWER)))
    return Difference(mean, mean - half, mean + half, seeds, np.sqrt((v + w) / 2), detectable)


def paired(a: ArrayLike, b: ArrayLike, comparisons: int = 1, level: float = 0.95, floor: float = 0.0) -> Difference:
    """Mean of `a` less `b`, two values of the same runs [seeds, ...]; arguments as for `welch`."""
    gains = np.subtract(a, b)
    mean, half = mean_interval(gains, comparisons * 0.05 / (1 - level), floor)
    unknown = np.full_like(mean, np.nan)
    return Difference(mean, mean - half, mean + half, (len(gains), len(gains)), unknown, unknown)


def compare(value: Callable[[Record], Any], a: Runs, b: Runs, comparisons: int = 1, **options: Any) -> Difference:
    """Compare a value of two settings' runs; options as in `welch`."""
    return welch(values(value, a), values(value, b), comparisons, **options)


def detectable(deviation: float, seeds: int, comparisons: int = 1) -> float:
    """Difference of two settings with so many runs each that is found with a probability of POWER."""
    quantiles = stdtrit(2 * seeds - 2, [1 - 0.025 / comparisons, POWER])
    return float(quantiles.sum() * deviation * math.sqrt(2 / seeds))


def seeds_needed(deviation: float, margin: float, comparisons: int = 1) -> int:
    """Runs of each of two settings with which a difference of `margin` is found with a probability of POWER."""
    if not deviation > 0:
        return 2
    n = 2
    while detectable(deviation, n, comparisons) > margin:
        n += 1
    return n


def trend(groups: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Test every class for a trend over ordered groups of runs, each [seeds, C] (Jonckheere 1954, Terpstra 1952).

    Returns Kendall's tau of group and accuracy, which is the same statistic with the same variance under ties, and the
    two-sided p, both [C]. A class of equal accuracies everywhere has no trend: tau 0, p 1.
    """
    from scipy.stats import kendalltau

    order, stacked = np.repeat(np.arange(len(groups)), list(map(len, groups))), np.concatenate(groups)
    found = [kendalltau(order, column, method="asymptotic") for column in stacked.T]
    return np.nan_to_num([f.statistic for f in found]), np.nan_to_num([f.pvalue for f in found], nan=1.0)


def confused(matrix: np.ndarray, most: int = 3) -> list[tuple[int, int, int]]:
    """Return the most frequent mistakes of a confusion matrix [C, C] as (true class, predicted class, images)."""
    off = matrix - np.diag(matrix.diagonal())
    order = np.argsort(off, axis=None)[::-1][:most]
    return [(int(y), int(p), int(off[y, p])) for y, p in zip(*np.unravel_index(order, off.shape), strict=True)]
