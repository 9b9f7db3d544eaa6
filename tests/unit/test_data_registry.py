"""The registry of data sets, and a data set that is not like CIFAR-10."""

from types import SimpleNamespace

import pytest
import torch
from conftest import run, small

from lib import data
from lib.data import Dataset, ImageSet
from lib.system.errors import UserError

CLASSES = ("circle", "square", "triangle")


def shapes():
    """Three classes of unequal size; noise around a colour per class."""
    generator = torch.Generator().manual_seed(0)

    def part(*counts):
        labels = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
        noise = torch.randint(0, 60, (len(labels), 3, 32, 32), generator=generator)
        return ImageSet((noise + 60 * labels[:, None, None, None]).to(torch.uint8), labels)

    parts = part(40, 30, 20), part(10, 10, 10)
    return Dataset(*parts, "shapes", data.digest(*parts), CLASSES, (0.3,) * 3, (0.2,) * 3)


@pytest.fixture
def registered(monkeypatch):
    monkeypatch.setitem(data.DATASETS, "shapes", SimpleNamespace(load=shapes, CLASSES=CLASSES))


def test_a_data_set_carries_what_the_rest_has_to_know():
    loaded = data.load("sample")
    assert loaded.classes == data.classes("sample") == data.classes("cifar10")
    assert len(loaded.classes) == len(set(loaded.classes)) == int(loaded.train.labels.max()) + 1
    assert len(loaded.mean) == len(loaded.std) == loaded.train.images.shape[1]


@pytest.mark.parametrize("ask", [data.load, data.classes])
def test_an_unknown_name_names_the_known_ones(ask):
    with pytest.raises(UserError, match=r"'mnist'.*cifar10, sample"):
        ask("mnist")


def test_an_experiment_may_name_every_registered_data_set_and_no_other(registered):
    for name in data.DATASETS:
        assert small(data=name).data == name
    with pytest.raises(UserError, match=r"data: .*cifar10.*sample.*shapes.*'mnist'"):
        small(data="mnist")


@pytest.mark.usefixtures("one_thread")
def test_three_classes_of_unequal_size_are_trained_like_ten(registered):
    record, weights = run(small(data="shapes", epochs=3, batch_size=16), data.load("shapes"))
    assert record.counts == [40, 30, 20]
    assert torch.tensor(record.history[-1].test.confusion).shape == (3, 3)
    assert weights["logits"]["test"].shape == (30, 3)
    assert record.history[-1].test.accuracy > 0.8
    tailed, _ = run(small(data="shapes", imbalance="exponential", factor=0.25, beta=0.9, epochs=1), data.load("shapes"))
    assert tailed.counts == [20, 10, 5]
