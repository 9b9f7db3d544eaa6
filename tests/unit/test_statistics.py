"""Intervals against their formulas and known values."""

import math

import numpy as np
import pytest
from conftest import run, small
from scipy import stats

from lib.analysis.statistics import (
    contrasts,
    mean_interval,
    paired_difference,
    per_class,
    prediction_interval,
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


A, B = [0.50, 0.53, 0.49, 0.55], [0.48, 0.50, 0.48, 0.51]


def test_a_paired_difference_is_the_paired_t_test():
    ours, test = paired_difference(A, B), stats.ttest_rel(A, B)
    low, high = test.confidence_interval(0.95)
    assert (ours.mean, ours.low, ours.high) == pytest.approx((0.025, low, high))
    assert ours.above == (test.pvalue < 0.05)
    assert paired_difference(B, A).below
    assert ours.pairs == 4


def test_several_comparisons_widen_the_interval():
    wide = paired_difference(A, B, comparisons=10)
    low, high = stats.ttest_rel(A, B).confidence_interval(1 - 0.05 / 10)
    assert (wide.low, wide.high) == pytest.approx((low, high))


def test_one_pair_decides_nothing():
    single = paired_difference([0.9], [0.1])
    assert single.mean == pytest.approx(0.8)
    assert [single.above, single.below, single.within(10)] == [False] * 3


def test_contrasts_are_those_of_the_two_way_layout():
    """Held against least squares on indicators of settings and seeds."""
    values = np.random.default_rng(1).normal(size=(4, 3))
    design = np.array([[*np.eye(4)[i], *np.eye(3)[j][1:]] for i in range(4) for j in range(3)])
    solution, residual, rank, _ = np.linalg.lstsq(design, values.ravel(), rcond=None)
    freedom = values.size - rank
    contrast = np.array([1, 0, -1, 0, 0, 0])
    error = np.sqrt(residual[0] / freedom * contrast @ np.linalg.inv(design.T @ design) @ contrast)
    half = stats.t.ppf(1 - 0.05 / 2 / 6, freedom) * error
    (found,) = contrasts(values, [(0, 2)], comparisons=6)
    assert (found.mean, found.high - found.mean) == pytest.approx((solution[0] - solution[2], half))
    assert freedom == 6


def test_seeds_that_agree_are_no_certainty():
    twins = [[0.500, 0.500], [0.501, 0.501]]
    assert contrasts(twins, [(1, 0)])[0].above
    assert not contrasts(twins, [(1, 0)], floor=0.001)[0].above
    far = contrasts([[0.5, 0.5], [0.9, 0.9]], [(1, 0)], floor=0.001)[0]
    assert far.above
    assert far.high - far.mean == pytest.approx(stats.t.ppf(0.975, 1) * 0.001)


def test_no_common_seed_is_no_difference():
    none = contrasts([[], []], [(0, 1)])[0]
    assert np.isnan(none.mean)
    assert none.pairs == 0


def test_a_prediction_interval_holds_one_more_run_as_often_as_it_says():
    rng = np.random.default_rng(0)
    runs = rng.normal(size=(4000, 4))
    inside = [low <= run[3] <= high for run in runs for low, high in [prediction_interval(run[:3])]]
    assert np.mean(inside) == pytest.approx(0.95, abs=0.01)
    assert np.isnan(prediction_interval([0.5])).all()
