"""Intervals over seeds."""

from collections.abc import Sequence

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
