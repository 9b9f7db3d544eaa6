"""Long-tailed subsets and stratified splits."""

import hashlib
from pathlib import Path

import numpy as np
import pytest

from lib.data import load, long_tailed_indices, stratified_split
from lib.data.longtail import class_counts
from lib.system.errors import UserError

PUBLISHED_COUNTS = [5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50]


def official_train_labels():
    """Labels of CIFAR-10's 50,000 training images; the file holds two to a byte, the earlier one in the high half."""
    pairs = np.frombuffer(Path(__file__).with_name("cifar10_train_labels.u4").read_bytes(), np.uint8)
    return np.stack([pairs >> 4, pairs & 15], axis=1).ravel().astype(np.int64)


def digest(indices):
    return hashlib.sha256(indices.astype("<i8").tobytes()).hexdigest()


def test_exponential_counts_are_the_published_ones():
    assert class_counts(5000, 0.01, "exponential", 10) == PUBLISHED_COUNTS


def test_step_keeps_the_first_half_whole():
    assert class_counts(5000, 0.1, "step", 10) == [5000] * 5 + [500] * 5


@pytest.mark.parametrize(
    ("classes", "exponential", "step"),
    [(1, [100], [10]), (2, [100, 10], [100, 10]), (3, [100, 31, 10], [100, 10, 10]), (100, None, None)],
)
def test_profiles_work_for_any_number_of_classes(classes, exponential, step):
    counts = class_counts(100, 0.1, "exponential", classes)
    assert (len(counts), counts[0]) == (classes, 100)
    assert counts == sorted(counts, reverse=True)
    if exponential:
        assert counts == exponential
        assert class_counts(100, 0.1, "step", classes) == step
    labels = np.arange(100 * classes) % classes
    assert np.bincount(labels[long_tailed_indices(labels, 0.1)]).tolist() == counts


@pytest.mark.parametrize("profile", ["exponential", "step"])
def test_factor_one_keeps_every_image(profile):
    assert class_counts(128, 1, profile, 10) == [128] * 10
    assert sorted(long_tailed_indices(np.arange(40) % 10, 1, profile, 7)) == list(range(40))


def test_the_writeups_12406_images_are_pinned():
    """Made independently below, as the write-up words it, and pinned so that no release changes them."""
    labels = official_train_labels()
    indices = long_tailed_indices(labels, 0.01, "exponential", seed=0)
    assert len(indices) == 12_406
    assert indices.dtype == np.int64
    assert np.bincount(labels[indices]).tolist() == PUBLISHED_COUNTS
    assert (np.diff(labels[indices]) >= 0).all()
    assert digest(indices) == "4bf45bff8878d2786e47dccd702f96ff33b2b11d8c7da3b5015f10937290f866"

    np.random.seed(0)  # noqa: NPY002
    expected = []
    for k, count in enumerate(PUBLISHED_COUNTS):
        positions = np.where(labels == k)[0]
        np.random.shuffle(positions)  # noqa: NPY002
        expected += positions[:count].tolist()
    assert indices.tolist() == expected


def test_the_seed_draws_other_images_in_the_same_numbers():
    labels = official_train_labels()
    one, other = (long_tailed_indices(labels, 0.01, "exponential", seed) for seed in (0, 1))
    assert (np.bincount(labels[one]) == np.bincount(labels[other])).all()
    assert digest(one) != digest(other)


def test_the_sample_can_be_long_tailed_too():
    labels = load("sample").train.labels
    indices = long_tailed_indices(labels, 0.1, "exponential", 0)
    assert np.bincount(labels[indices].numpy()).tolist() == class_counts(128, 0.1, "exponential", 10)


@pytest.mark.parametrize("factor", [0, -0.1, 1.01, float("nan")])
def test_a_factor_outside_its_range_is_refused(factor):
    with pytest.raises(UserError, match=r"\(0, 1\]"):
        class_counts(5000, factor, "exponential", 10)


@pytest.mark.parametrize("profile", ["exponential", "step"])
def test_a_class_that_would_be_empty_is_named(profile):
    with pytest.raises(UserError, match=r"class .*9 would be empty.*at least 0\.1"):
        class_counts(10, 0.05, profile, 10)


def test_a_class_without_images_is_refused():
    with pytest.raises(UserError, match="would be empty"):
        long_tailed_indices([0, 0, 2, 2], 1)


def test_an_unknown_profile_names_the_known_ones():
    with pytest.raises(UserError, match=r"'linear'.*exponential, step"):
        class_counts(10, 0.5, "linear", 10)


@pytest.mark.parametrize("seed", [-1, 2**32, "a"])
def test_a_seed_that_cannot_be_used_is_refused(seed):
    with pytest.raises(UserError, match="seed"):
        long_tailed_indices([0, 1], 1, seed=seed)


def test_a_split_takes_the_same_share_of_every_class_and_parts_everything():
    labels = np.repeat(np.arange(3), [100, 40, 5])
    train, validation = stratified_split(labels, 0.1, seed=3)
    assert np.bincount(labels[validation]).tolist() == [10, 4, 1]
    assert sorted([*train, *validation]) == list(range(145))
    assert [part.tolist() for part in stratified_split(labels, 0.1, 3)] == [
        train.tolist(),
        validation.tolist(),
    ]
    assert stratified_split(labels, 0.1, 4)[1].tolist() != validation.tolist()


@pytest.mark.parametrize("fraction", [0, 1, -0.5, float("nan")])
def test_a_fraction_outside_its_range_is_refused(fraction):
    with pytest.raises(UserError, match="fraction"):
        stratified_split([0, 0, 1, 1], fraction)


@pytest.mark.parametrize(("labels", "fraction"), [([0, 0, 1], 0.1), ([0] * 9 + [1, 1], 0.9)])
def test_a_class_too_small_to_split_is_named(labels, fraction):
    with pytest.raises(UserError, match=r"Class 1 has"):
        stratified_split(labels, fraction)
