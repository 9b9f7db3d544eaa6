"""Intervals over seeds, paired comparisons, equivalence.

Quantiles come from scipy.special, as importing scipy.stats takes every notebook a second.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri, stdtrit

from lib.training import Record


def mean_interval(values: ArrayLike, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """Mean over the first axis and half the width of its confidence interval (Student's t).

    Args:
        values: [seeds, ...]. NaN half-widths for a single seed, which says nothing about the spread.

    Returns:
        (mean [...], half-width [...]).
    """
    array = np.asarray(values, dtype=float)
    n, mean = len(array), array.mean(axis=0)
    if n < 2:
        return mean, np.full_like(mean, np.nan)
    return mean, stdtrit(n - 1, (1 + level) / 2) * array.std(axis=0, ddof=1) / np.sqrt(n)


def proportion_interval(share: float, n: int, level: float = 0.95) -> tuple[float, float]:
    """Wilson score interval of a share observed on n images (Wilson 1927)."""
    hits, z = round(share * n), float(ndtri((1 + level) / 2))
    p = hits / n
    centre, half = p + z**2 / (2 * n), z * math.sqrt(p * (1 - p) / n + (z / (2 * n)) ** 2)
    scale = 1 + z**2 / n
    # Exactly 0 for none and 1 for all of them, which rounding would miss.
    return 0.0 if hits == 0 else (centre - half) / scale, 1.0 if hits == n else (centre + half) / scale


def per_class(records: Sequence[Record], rule: str = "best") -> np.ndarray:
    """Test accuracy by run and class, [runs, C] fractions.

    Args:
        rule: "best" (the write-up's: each run's best epoch on the test set) or "last".
    """
    return np.array([getattr(record, rule).test.per_class for record in records])


@dataclass(frozen=True)
class Difference:
    """Mean of paired differences with its confidence interval (Student's t).

    With one pair there is no interval: `low` and `high` are NaN, and nothing compares as true with them.
    """

    mean: float
    low: float
    high: float
    pairs: int
    deviation: float  # standard deviation of the differences

    @property
    def above(self) -> bool:
        """True if the interval lies above zero."""
        return self.low > 0

    @property
    def below(self) -> bool:
        """True if the interval lies below zero."""
        return self.high < 0

    def within(self, margin: float) -> bool:
        """True if the interval lies inside (-margin, margin)."""
        return -margin < self.low and self.high < margin


def paired_difference(
    a: ArrayLike, b: ArrayLike, level: float = 0.95, comparisons: int = 1, floor: float = 0.0
) -> Difference:
    """Mean of a - b, paired (by seed: the same initial weights, order and crops): the paired t test's interval.

    Args:
        a, b: [pairs], fractions.
        comparisons, floor: as for `contrasts`.
    """
    return contrasts(np.array([a, b]), [(0, 1)], level, comparisons, floor)[0]


def contrasts(
    values: ArrayLike,
    pairs: Sequence[tuple[int, int]],
    level: float = 0.95,
    comparisons: int = 1,
    floor: float = 0.0,
) -> list[Difference]:
    """Differences between settings that were run from the same seeds, with Student's t intervals.

    The variance is what settings and seeds leave unexplained (two-way layout, seeds as blocks), pooled over all
    settings: with two of them this is the paired t test, with more there are more degrees of freedom, so that three
    seeds say something about ten differences.

    Args:
        values: [settings, seeds], fractions.
        pairs: (i, j) for the mean of setting i less that of setting j.
        comparisons: how many differences are looked at together; the level of each is raised so that all
            intervals hold together at `level` (Bonferroni).
        floor: lower bound on the standard deviation of a single value, such as that of one test image, for seeds that
            happen to agree. The intervals are about seeds, on this test set.
    """
    if not pairs:
        return []
    array = np.asarray(values, dtype=float)
    settings, seeds = array.shape
    means = array.mean(axis=1) if seeds else np.full(settings, math.nan)
    variance = half = math.nan
    if seeds > 1:
        unexplained = array - means[:, None] - array.mean(axis=0) + array.mean()
        freedom = (settings - 1) * (seeds - 1)
        variance = max(float((unexplained**2).sum() / freedom), floor**2)
        half = stdtrit(freedom, 1 - (1 - level) / (2 * comparisons)) * math.sqrt(2 * variance / seeds)
    deviation = math.sqrt(2 * variance)
    differences = [float(means[i] - means[j]) for i, j in pairs]
    return [Difference(d, d - half, d + half, seeds, deviation) for d in differences]


def counting_variance(share: float | np.ndarray, images: int) -> float:
    """Variance of a share counted on so many images (its mean, for several shares).

    Half an image is added, so that none of a thousand does not give a variance of zero.
    """
    estimate = (np.asarray(share) * images + 0.5) / (images + 1)
    return float(np.mean(estimate * (1 - estimate) / images))


def equivalent(values: np.ndarray, margin: float, floor: float = 0.0) -> tuple[bool, Difference]:
    """Test whether all pairs of settings differ by less than `margin`: two one-sided t tests at 5 %.

    Schuirmann 1987; the same as 90 % intervals inside the margin. All pairs have to pass, so each is tested at its own
    level. False means not shown, not that they differ.

    Args:
        values: [settings, seeds], fractions.

    Returns:
        The verdict, and the largest of the differences.
    """
    pairs = list(combinations(range(len(values)), 2))
    differences = contrasts(values, pairs, level=0.90, floor=floor)
    return all(d.within(margin) for d in differences), max(differences, key=lambda d: abs(d.mean))


def prediction_interval(values: Sequence[float] | np.ndarray, level: float = 0.95) -> tuple[float, float]:
    """Prediction interval of one more run, given some (Student's t); NaN for a single one."""
    mean, half = mean_interval(values, level)
    wider = math.sqrt(len(values) + 1)  # of the mean's own uncertainty: sqrt(1 + 1/n) beside sqrt(1/n)
    return float(mean - half * wider), float(mean + half * wider)


def groups(counts: Sequence[int]) -> dict[str, np.ndarray]:
    """Head, middle and tail: the three most frequent classes, the three rarest, and those between, as indices.

    By rank, as the literature's thresholds (more than 100 images, fewer than 20) leave the tail of
    CIFAR-10 at factor 0.01 empty.
    """
    order = np.argsort(-np.asarray(counts), kind="stable")
    return {"head": order[:3], "middle": order[3:-3], "tail": order[-3:]}
