"""Intervals against their formulas and known values."""

import math

import numpy as np
import pytest
from conftest import run, small
from scipy import stats

from lib.analysis.statistics import (
    POWER,
    compare,
    mean_interval,
    paired,
    per_class,
    prediction_interval,
    sampling_error,
    seeds_needed,
    trend,
    welch,
)

pytestmark = pytest.mark.usefixtures("one_thread")  # small steps are fastest on one thread, and repeatable


def test_the_interval_of_a_mean_is_students():
    values = [0.70, 0.72, 0.77]
    mean, half = mean_interval(values)
    spread = math.sqrt(sum((v - 0.73) ** 2 for v in values) / 2)
    assert mean == pytest.approx(0.73)
    assert half == pytest.approx(4.302652729696142 * spread / math.sqrt(3), rel=1e-9)  # t(0.975, 2)


def test_the_interval_is_taken_over_the_first_axis():
    values = np.array([[0.1, 0.5], [0.3, 0.5]])
    mean, half = mean_interval(values)
    assert mean.tolist() == pytest.approx([0.2, 0.5])
    assert half.tolist() == pytest.approx([12.706204736 * 0.1, 0.0])


def test_one_seed_says_nothing_about_the_spread():
    assert np.isnan(mean_interval([0.7])[1])
    mean, half = mean_interval([[0.7, 0.8]])
    assert mean.tolist() == [0.7, 0.8]
    assert np.isnan(half).tolist() == [True, True]


def test_accuracy_per_class_follows_the_rule_asked_for(few):
    records = [run(small(epochs=4, learning_rate=0.1, seed=seed), few())[0] for seed in (0, 1)]
    best, last = per_class(records), per_class(records, "last")
    assert best.shape == last.shape == (2, 10)
    for record, b, e in zip(records, best, last, strict=True):
        assert b.mean() == pytest.approx(record.best.test.accuracy)
        assert e.mean() == pytest.approx(record.last.test.accuracy)
    assert any(record.best.epoch != 4 for record in records)  # else both rules are the same here
    assert (best.mean(axis=1) >= last.mean(axis=1)).all()


A, B = [0.50, 0.53, 0.49, 0.55], [0.48, 0.50, 0.47]


def test_settings_are_compared_by_welchs_test():
    ours, test = welch(A, B), stats.ttest_ind(A, B, equal_var=False)
    low, high = test.confidence_interval(0.95)
    assert (ours.mean, ours.low, ours.high) == pytest.approx((np.mean(A) - np.mean(B), low, high))
    assert ours.above == (test.pvalue < 0.05)
    assert ours.seeds == (4, 3)
    wide = welch(A, B, comparisons=10)
    assert (wide.low, wide.high) == pytest.approx(test.confidence_interval(1 - 0.05 / 10))
    ninety = welch(A, B, level=0.90)
    assert (ninety.low, ninety.high) == pytest.approx(test.confidence_interval(0.90))
    by_class = welch(np.column_stack([A, A]), np.column_stack([B, B]))
    assert by_class.low == pytest.approx([low, low])


def test_two_values_of_the_same_runs_are_paired():
    a, b = np.array([0.5, 0.6, 0.7]), np.array([0.45, 0.56, 0.64])
    low, high = stats.ttest_rel(a, b).confidence_interval(0.95)
    assert (paired(a, b).low, paired(a, b).high) == pytest.approx((low, high))
    assert (paired(a, b, level=0.90).low, paired(a, b, comparisons=3).high) == pytest.approx(
        (
            stats.ttest_rel(a, b).confidence_interval(0.90).low,
            stats.ttest_rel(a, b).confidence_interval(1 - 0.05 / 3).high,
        )
    )


def test_one_run_decides_nothing():
    single = welch([0.9], [0.1, 0.2])
    assert single.mean == pytest.approx(0.75)
    assert [single.above, single.below, single.within(10)] == [False] * 3
    none = welch([], [0.1])
    assert np.isnan(none.mean)
    assert none.seeds == (0, 1)


def test_seeds_that_agree_are_no_certainty():
    low, high = [0.500, 0.500], [0.501, 0.501]
    assert welch(high, low).above
    assert not welch(high, low, floor=0.001).above
    far = welch([0.9, 0.9], [0.5, 0.5], floor=0.001)
    assert far.above
    assert far.high - far.mean == pytest.approx(stats.t.ppf(0.975, 2) * 0.001)  # as with two equal variances


def test_the_detectable_difference_is_found_as_often_as_it_says():
    rng = np.random.default_rng(0)
    a, b = rng.normal(0, 0.01, (2, 5, 4000))
    size = np.median(welch(a, b).detectable)
    assert np.mean(welch(a + size, b).above) == pytest.approx(POWER, abs=0.04)


def test_the_seeds_that_a_point_takes():
    assert seeds_needed(0.012, 0.01) == 24  # 2 (1.96 + 0.84)^2 1.2^2 = 22.6, and a little for Student's t
    n = seeds_needed(0.005, 0.01)
    a, b = np.random.default_rng(0).normal(0, 0.005, (2, n, 4000))
    assert np.mean(welch(a + 0.01, b).above) >= POWER - 0.02
    assert seeds_needed(0.0, 0.01) == seeds_needed(np.nan, 0.01) == 2


def test_one_more_pair_lies_in_the_prediction_interval_as_often_as_it_says():
    rng = np.random.default_rng(0)
    inside = []
    for _ in range(2000):
        a, b = dict(enumerate(rng.normal(0, 1, 5))), dict(enumerate(rng.normal(0, 2, 4)))
        found = compare(lambda value: value, a, b, one_more=True)
        inside.append(found.low <= rng.normal(0, 1) - rng.normal(0, 2) <= found.high)
    assert np.mean(inside) == pytest.approx(0.95, abs=0.015)


def test_the_sampling_error_is_that_of_another_test_set():
    accuracies = np.array([0.9, 0.5, 0.1])
    drawn = np.random.default_rng(0).binomial(1000, accuracies, (20_000, 3)).mean(axis=1) / 1000
    assert sampling_error(accuracies, 1000) == pytest.approx(1.96 * drawn.std(), rel=0.02)


def jonckheere(groups):
    """Jonckheere's statistic and its normal p without ties, by the formulas of the paper."""
    pairs = [(a, b) for i, a in enumerate(groups) for b in groups[i + 1 :]]
    count = sum((b[None] > a[:, None]).sum() for a, b in pairs)
    sizes = np.array(list(map(len, groups)))
    n = sizes.sum()
    variance = (n**2 * (2 * n + 3) - (sizes**2 * (2 * sizes + 3)).sum()) / 72
    z = (count - (n**2 - (sizes**2).sum()) / 4) / np.sqrt(variance)
    return 2 * stats.norm.sf(abs(z))


def test_the_trend_is_jonckheeres():
    rng = np.random.default_rng(0)
    groups = [rng.normal(0.1 * k, 0.2, n) for k, n in enumerate((5, 3, 4))]
    tau, p = trend([np.column_stack([g, -g, np.full(len(g), 0.5)]) for g in groups])
    assert p[0] == p[1] == pytest.approx(jonckheere(groups))
    assert tau[0] == -tau[1] != 0
    assert (tau[2], p[2]) == (0, 1)  # equal everywhere


def test_a_prediction_interval_holds_one_more_run_as_often_as_it_says():
    rng = np.random.default_rng(0)
    runs = rng.normal(size=(4000, 4))
    inside = [low <= run[3] <= high for run in runs for low, high in [prediction_interval(run[:3])]]
    assert np.mean(inside) == pytest.approx(0.95, abs=0.01)
    assert np.isnan(prediction_interval([0.5])).all()
    together = rng.normal(size=(4000, 4, 6))
    held = [
        ((low <= row[3]) & (row[3] <= high)).all()
        for row in together
        for low, high in [prediction_interval(row[:3], 6)]
    ]
    assert np.mean(held) >= 0.945  # Bonferroni: all six, at least as often
