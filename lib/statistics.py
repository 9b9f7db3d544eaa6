"""Intervals over seeds, paired comparisons, equivalence."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from lib.training import Record


def mean_interval(values: Sequence, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
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
    return mean, stats.t.ppf((1 + level) / 2, n - 1) * array.std(axis=0, ddof=1) / np.sqrt(n)


def proportion_interval(share: float, n: int, level: float = 0.95) -> tuple[float, float]:
    """Wilson score interval of a share observed on n images (Wilson 1927): what the test set's size allows."""
    result = stats.binomtest(round(share * n), n).proportion_ci(level, method="wilson")
    return float(result.low), float(result.high)


def per_class(records: Sequence[Record], rule: str = "best") -> np.ndarray:
    """Test accuracy by run and class, [runs, C] fractions.

    Args:
        rule: "best" (the write-up's: each run's best epoch on the test set) or "last".
    """
    return np.array([getattr(record, rule).test.per_class for record in records])


@dataclass(frozen=True)
class Difference:
    """Mean of paired differences with its confidence interval (Student's t on the differences).

    With one pair there is no interval: `low` and `high` are NaN, and nothing compares as true with them.
    """

    mean: float
    low: float
    high: float
    pairs: int
    deviation: float  # standard deviation of the differences

    @property
    def above(self) -> bool:
        """Whether the interval lies above zero."""
        return self.low > 0

    @property
    def below(self) -> bool:
        """Whether the interval lies below zero."""
        return self.high < 0

    def within(self, margin: float) -> bool:
        """Whether the interval lies inside (-margin, margin)."""
        return -margin < self.low and self.high < margin


def paired_difference(a: Sequence[float], b: Sequence[float], level: float = 0.95, comparisons: int = 1) -> Difference:
    """Mean of a - b, paired (by seed: the same initial weights, order and crops).

    Args:
        a, b: [pairs], fractions.
        comparisons: how many differences are looked at together; the level of each is raised so that all
            intervals hold together at `level` (Bonferroni).
    """
    differences = np.asarray(a, dtype=float) - np.asarray(b, dtype=float)
    mean, half = mean_interval(differences, 1 - (1 - level) / comparisons)
    deviation = float(differences.std(ddof=1)) if len(differences) > 1 else math.nan
    return Difference(float(mean), float(mean - half), float(mean + half), len(differences), deviation)


def equivalent(a: Sequence[float], b: Sequence[float], margin: float, comparisons: int = 1) -> bool:
    """Whether a and b, paired, are shown to differ by less than `margin`: two one-sided t tests at 5 %.

    Schuirmann 1987; the same as a 90 % interval inside the margin. False means not shown, not that they differ.
    """
    return paired_difference(a, b, level=0.90, comparisons=comparisons).within(margin)


def prediction_interval(values: Sequence[float], level: float = 0.95) -> tuple[float, float]:
    """Where one more run would lie, given some (Student's t); NaN for a single one."""
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
