"""Values that the notebooks state, on small examples worked out by hand."""

import numpy as np
import pytest
from conftest import small

from lib import data
from lib.analysis import findings, original
from lib.training import Epoch, Evaluation, Record

BETAS = [0.0, 0.9, 0.99]
COUNTS = [5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50]


def evaluation(confusion):
    return Evaluation(loss=1.0, confusion=np.asarray(confusion, int).tolist(), calibration_error=0.123)


def diagonal(right, images=1000, classes=10):
    """So many of every 1,000 are right; the wrong ones are all taken for the next class."""
    matrix = np.diag(np.broadcast_to(right, classes)).astype(int)
    for k in range(classes):
        matrix[k, (k + 1) % classes] += images - matrix[k, k]
    return matrix


def record(confusions, counts=COUNTS, train_accuracy=0.9):
    """A finished run whose epochs have these confusion matrices."""
    history = [
        Epoch(
            epoch=number,
            learning_rate=0.1,
            train_loss=1.0,
            train_accuracy=train_accuracy,
            test=evaluation(confusion),
            seconds=1.0,
            images_per_second=1.0,
        )
        for number, confusion in enumerate(confusions, start=1)
    ]
    experiment = small(epochs=len(history))
    return Record(
        experiment=experiment,
        key=experiment.key,
        numerics=1,
        counts=counts,
        history=history,
        wall_time=1.0,
        finished="2001-01-01",
        machine={},
        lib="0",
        data_digest="",
    )


def test_the_most_frequent_mistakes_come_first():
    matrix = 100 * np.eye(4)
    matrix[3, 3], matrix[3, 2] = 60, 40
    matrix[1, 1], matrix[1, 0] = 80, 20
    assert findings.confused(matrix, most=2) == [(3, 2, 40), (1, 0, 20)]


def test_the_prior_follows_the_confusion_matrix():
    drawn = np.zeros((10, 10))
    drawn[:5, :5] = 1000 * np.eye(5)
    drawn[5:, 0] = 1000  # every rare class is taken for the most frequent one
    found = findings.prior(drawn, COUNTS)
    assert (found.frequent, found.rare) == (5, 5)
    assert found.images == sum(COUNTS[:5]) / sum(COUNTS)
    assert found.predictions == pytest.approx(1)
    assert (found.rare_as_frequent, found.frequent_as_rare) == (1, 0)
    assert (found.favourite, found.favourite_share) == (0, pytest.approx(0.6))
    assert found.rank == pytest.approx(0.87, abs=0.005)

    mirrored = findings.prior(1000 * np.eye(10)[::-1], COUNTS)
    assert mirrored.frequent_as_rare == 1
    assert np.isnan(mirrored.rank)  # every class is equally bad
    assert np.isnan(findings.prior(drawn, [100] * 10).rank)


def test_frequent_classes_are_found_by_their_images_not_by_their_place():
    found = findings.prior(np.diag([10, 10, 10]), [1, 2, 97])
    assert (found.frequent, found.rare, found.images) == (1, 2, 0.97)


def test_weights_by_beta():
    assert findings.weight_ratio(COUNTS, 0.5) == 1
    assert findings.weight_ratio([200, 100], 0.999999) == pytest.approx(2, rel=1e-3)


def values(*rows):
    """Accuracies [betas, 1 seed, C] from one row, or one number, per beta."""
    return np.array([np.broadcast_to(row, 10) for row in rows], float)[:, None]


def sweep(accuracies, betas=BETAS, counts=COUNTS):
    return findings.sweep(betas, accuracies, np.full((1, 10), 0.4), counts, range(10))


def test_classes_that_gain_and_lose_at_the_best_beta():
    row = np.full(10, 0.5)
    row[0], row[1] = 0.3, 0.4  # below and equal to cross-entropy
    found = sweep(values(0.1, row, 0.2))
    assert (found.best, found.better, found.worse) == (1, list(range(2, 10)), [0])
    found = sweep(values(0.1, 0.3, 0.2))
    assert (found.better, found.worse) == ([], list(range(10)))


def test_monotone_classes():
    zigzag = [np.full(10, v) for v in (0.1, 0.5, 0.2)]
    assert sweep(values(*zigzag)).monotone == []
    for row, rising, falling in zip(zigzag, (0.1, 0.2, 0.3), (0.5, 0.4, 0.4), strict=True):
        row[2], row[7] = rising, falling
    assert sweep(values(*zigzag)).monotone == [2, 7]


def test_betas_of_equal_weights_count_once_towards_monotony():
    betas, accuracies = [0.0, 0.1, 0.9, 0.99], values(0.2, 0.1, 0.3, 0.4)  # 0.1 is a repetition of 0
    found = sweep(accuracies, betas)
    assert (found.distinct, found.monotone) == (3, list(range(10)))
    assert sweep(accuracies, betas, counts=[9] * 9 + [2]).monotone == []  # here it differs


def test_classes_without_a_correct_image():
    found = sweep(values(0.1, 0.5, 0.2))
    assert (found.lowest, found.missed) == (0.5, [])
    row = np.full(10, 0.5)
    row[[4, 9]] = 0
    found = sweep(values(0.1, row, 0.2))
    assert (found.lowest, found.missed) == (0, [4, 9])


def test_the_spread_over_betas_beside_that_over_seeds():
    one = values(0.1, 0.5, 0.3)
    assert np.isnan(sweep(one).chance)
    found = sweep(np.concatenate([one - 0.01, one + 0.01], axis=1))
    assert found.between == pytest.approx(0.2)
    assert found.chance == pytest.approx(0.01)  # 1.41 points by sqrt(2)


def test_the_distance_to_the_original_takes_betas_in_common_alone():
    mean = values(0.1, 0.5, 0.3).mean(axis=1)
    unknown = np.full(10, np.nan)
    assert findings.distance(mean, np.array([unknown, np.full(10, 0.4), unknown])) == pytest.approx(0.1)
    assert np.isnan(findings.distance(mean, np.array([unknown] * 3)))


def test_the_originals_rows_are_unknown_for_other_classes():
    stated, other = original.figures(), original.figures(("across", "down", "both"))
    assert original.figures(data.classes("cifar10")) == stated
    assert other["class_balanced_focal"].keys() == stated["class_balanced_focal"].keys()
    for row in (other["cross_entropy"], *other["class_balanced_focal"].values()):
        assert len(row) == 3
        assert np.isnan(row).all()
    assert other["convnet"] == stated["convnet"]
