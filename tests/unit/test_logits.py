"""Corrections of stored logits, and comparisons by image, against values known otherwise."""

import numpy as np
import pytest
import torch
from scipy import stats

from lib.analysis import logits
from lib.training.evaluation import measure

LABELS = torch.arange(3).repeat(2000)


def drawn(prior, sharpness=1.0, seed=0):
    """Logits of a Bayes classifier that saw the classes this often; `sharpness` falsifies its confidence."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.eye(3)[LABELS] * 2 + torch.randn(len(LABELS), 3, generator=generator)
    return sharpness * (2 * x + torch.tensor(prior).log())


def test_logit_adjustment_takes_the_training_prior_out():
    """The adjusted answer is that of a classifier that saw the classes equally often."""
    tail, flat = drawn([0.90, 0.09, 0.01]), drawn([1 / 3] * 3)
    moved = logits.adjusted(tail, [900, 90, 10])
    assert torch.equal(moved.argmax(1), flat.argmax(1))
    assert measure(moved, LABELS).accuracy > measure(tail, LABELS).accuracy + 0.1
    assert torch.equal(logits.adjusted(tail, [5, 5, 5]).argmax(1), tail.argmax(1))
    assert torch.equal(logits.adjusted(tail, [900, 90, 10], tau=0.0), tail)


def test_the_temperature_undoes_a_wrong_confidence():
    for sharpness in (0.25, 4.0):
        z = drawn([1 / 3] * 3, sharpness)
        assert logits.temperature(z, LABELS) == pytest.approx(sharpness, rel=0.1)
        cooled = logits.scaled(z, LABELS)
        assert torch.equal(cooled.argmax(1), z.argmax(1))
        assert measure(cooled, LABELS).calibration_error < 0.02 < measure(z, LABELS).calibration_error


def test_no_image_is_fitted_to_itself():
    z = drawn([1 / 3] * 3, 4.0)
    wrong = z.clone()
    wrong[::2] = -z[::2]  # the even images alone are worse: the odd ones are cooled more, the even ones as before
    before, after = logits.scaled(z, LABELS), logits.scaled(wrong, LABELS)
    assert torch.allclose(after[::2], -before[::2])
    assert not torch.allclose(after[1::2], before[1::2])


def test_the_table_has_a_row_for_every_setting():
    table = logits.table(
        {"CE": {0: drawn([0.9, 0.09, 0.01]), 3: drawn([0.9, 0.09, 0.01], seed=1)}}, LABELS, [900, 90, 10]
    )
    plain, moved = (float(table.loc["CE", name].split(" ")[0]) for name in ("accuracy", "with logit adjustment"))
    assert plain + 10 < moved
    assert table.loc["CE", "seeds"] == 2


def test_the_bootstrap_covers_the_true_difference():
    """Runs and images both drawn anew: a normal effect of the run and one of the image on the chance to be right."""
    random, inside = np.random.default_rng(0), 0
    for _ in range(100):
        images = random.normal(0, 0.5, 400)
        a, b = (
            stats.norm.cdf(images + mean + random.normal(0, 0.05, (8, 1))) > random.random((8, 400))
            for mean in (0.3, 0.0)
        )
        low, high = logits.bootstrap(a, b, draws=400)
        truth = stats.norm.cdf(0.3 / np.sqrt(1.2525)) - 0.5
        inside += low <= truth <= high
    assert 88 <= inside <= 100


def test_mcnemar_counts_the_images_that_one_run_alone_gets_right():
    a, b = np.array([[1, 1, 1, 0, 0, 1]], bool), np.array([[1, 0, 0, 1, 0, 0]], bool)
    (row,) = logits.mcnemar([(a[0], b[0])])
    assert row[:2].tolist() == [3, 1]
    assert row[2] == pytest.approx(stats.binomtest(3, 4).pvalue)
    assert logits.mcnemar([(a[0], a[0])])[0].tolist() == [0, 0, 1]


def test_two_settings_are_compared_image_by_image():
    a, b = ({seed: drawn(prior, seed=seed) for seed in range(3)} for prior in ([1 / 3] * 3, [0.9, 0.09, 0.01]))
    found = logits.compare(a, b, LABELS)
    accuracies = [np.mean([measure(z, LABELS).accuracy for z in by_seed.values()]) for by_seed in (a, b)]
    assert found.gain == pytest.approx(accuracies[0] - accuracies[1])
    assert found.low < found.gain < found.high
    assert (found.first - found.second) / len(LABELS) == pytest.approx(found.gain)
    assert found.p < 1e-6
    assert found.pairs == 3
    moved = logits.compare(a, {3: b[1], 0: b[0]}, LABELS)  # the pairs are those of equal seeds
    right = [(z[0].argmax(1) == LABELS).numpy() for z in (a, b)]
    assert (moved.pairs, moved.first) == (1, (right[0] & ~right[1]).sum())
