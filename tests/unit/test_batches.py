"""Augmentation is torchvision's, and an epoch's random draws depend on seed and epoch alone."""

import itertools

import pytest
import torch
from conftest import small
from scipy import stats

from lib.data import ImageSet, load
from lib.system.compat import import_torchvision
from lib.training import batches
from lib.training.batches import crop_and_flip, draw, training_batches

SAMPLE = load("sample")
MEAN, STD = SAMPLE.mean, SAMPLE.std


@pytest.fixture(scope="module")
def functional():
    import_torchvision()
    from torchvision.transforms.v2 import functional

    return functional


def numbered(n):
    """Images that tell their number (in the red pixels) and labels that repeat it."""
    images = torch.zeros(n, 3, 32, 32, dtype=torch.uint8)
    images[:, 0] = torch.arange(n, dtype=torch.uint8)[:, None, None]
    return ImageSet(images, torch.arange(n))


def epoch_of(data, batch_size=32, epoch=1, **settings):
    return list(training_batches(data, SAMPLE, small(batch_size=batch_size, **settings), epoch))


def test_crop_and_flip_equal_torchvision_pixel_for_pixel(sample, functional):
    chances = list(itertools.product(range(9), range(9), (False, True)))
    images = sample.train.images[:: len(sample.train) // len(chances)][: len(chances)]
    offsets = torch.tensor([c[:2] for c in chances])
    actual = crop_and_flip(images, offsets, torch.tensor([c[2] for c in chances]))
    assert actual.dtype == torch.uint8
    for image, (top, left, flip), ours in zip(images, chances, actual, strict=True):
        expected = functional.crop(functional.pad(image, [4]), top, left, 32, 32)
        expected = functional.horizontal_flip(expected) if flip else expected
        assert torch.equal(ours, expected), (top, left, flip)


def test_normalise_equals_torchvision_and_padding_is_black_before_it(sample, functional):
    images = crop_and_flip(sample.train.images[:8], torch.zeros(8, 2).long(), torch.zeros(8).bool())
    expected = functional.normalize(images.float() / 255, list(MEAN), list(STD))
    actual = SAMPLE.normalise(images)
    torch.testing.assert_close(actual, expected, rtol=1e-5, atol=1e-5)
    black = -torch.tensor(MEAN) / torch.tensor(STD)
    torch.testing.assert_close(actual[0, :, 0, 0], black)
    assert actual.is_contiguous(memory_format=torch.channels_last)


def test_an_epochs_chances_are_a_function_of_seed_and_epoch_alone():
    one = draw(3, 7, 500)
    torch.manual_seed(1)
    torch.rand(10)
    same = draw(3, 7, 500)
    for mine, again in zip(one, same, strict=True):
        assert torch.equal(mine, again)
    for other in (draw(3, 8, 500), draw(4, 7, 500), draw(7, 3, 500)):
        for mine, another in zip(one, other, strict=True):
            assert not torch.equal(mine, another)


def test_chances_have_the_distributions_of_random_crop_and_random_flip():
    order, offsets, flips = draw(0, 1, 20_000)
    assert torch.equal(order.sort().values, torch.arange(20_000))
    for column in offsets.T:
        counts = torch.bincount(column)
        assert len(counts) == 9
        assert stats.chisquare(counts.numpy()).pvalue > 1e-4
    pairs = torch.bincount(offsets[:, 0] * 9 + offsets[:, 1], minlength=81)
    assert stats.chisquare(pairs.numpy()).pvalue > 1e-4  # row and column are independent
    assert stats.binomtest(int(flips.sum()), 20_000).pvalue > 1e-4


def test_the_last_smaller_batch_is_kept_and_every_image_comes_once():
    labels = [labels for _, labels in epoch_of(numbered(100))]
    assert [len(part) for part in labels] == [32, 32, 32, 4]
    assert sorted(torch.cat(labels).tolist()) == list(range(100))


def test_labels_stay_with_their_images_in_the_drawn_order():
    parts = epoch_of(numbered(100), augmentation=False)
    images, labels = (torch.cat(part) for part in zip(*parts, strict=True))
    seen = (images[:, 0, 16, 16] * STD[0] + MEAN[0]) * 255
    assert seen.round().long().tolist() == labels.tolist()
    assert labels.tolist() == draw(0, 1, 100)[0].tolist()


def test_chances_belong_to_the_place_in_the_order(sample):
    data = ImageSet(sample.train.images[:50], sample.train.labels[:50])
    order, offsets, flips = draw(2, 5, 50)
    images, labels = (torch.cat(part) for part in zip(*epoch_of(data, 8, seed=2, epoch=5), strict=True))
    expected = crop_and_flip(data.images[order], offsets, flips)
    assert torch.equal(images, SAMPLE.normalise(expected))
    assert torch.equal(labels, data.labels[order])


@pytest.mark.parametrize("block", [1, 48, 100_000])
def test_the_internal_block_size_changes_nothing(sample, monkeypatch, block):
    expected = epoch_of(sample.train)
    assert len(sample.train) > batches._BLOCK  # else there is no crossing to test
    monkeypatch.setattr(batches, "_BLOCK", block)
    for (images, labels), (images_then, labels_then) in zip(epoch_of(sample.train), expected, strict=True):
        assert torch.equal(labels, labels_then)
        assert torch.equal(images, images_then)


def test_the_data_are_not_changed(sample):
    before = sample.train.images.clone()
    epoch_of(sample.train)
    assert torch.equal(sample.train.images, before)
