"""Fixtures of several tests: a few real images, a small run, one thread."""

from dataclasses import replace

import pytest
import torch
from headless_browser import browser, workplace  # noqa: F401  (fixtures, shared by test_browser_*.py)

from lib import data
from lib.data import ImageSet
from lib.experiment import Experiment
from lib.runs import sweep
from lib.runs.store import Store
from lib.runs.sweep import cluster
from lib.training import train


def pytest_collection_modifyitems(items):
    """The longest file first: if it came last, one of two processes would idle."""
    items.sort(key=lambda item: item.path.name != "test_pipeline.py")


@pytest.fixture(scope="session")
def sample():
    return data.load("sample")


@pytest.fixture(scope="session")
def few(sample):
    """A function: the sample thinned to so many training and test images, the same number of each class."""

    def thin(training=80, test=20):
        parts = [
            ImageSet(part.images[:: len(part) // n], part.labels[:: len(part) // n])
            for part, n in ((sample.train, training), (sample.test, test))
        ]
        assert [len(part) for part in parts] == [training, test]
        return replace(sample, train=parts[0], test=parts[1])

    return thin


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "runs")


@pytest.fixture
def one_thread():
    """Sums on one thread are added in one order: the same bits everywhere on this machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def two_cores_and_no_gpu(monkeypatch):
    """Two cores and no GPU for a sweep, here and in its workers; no worker is left at the end."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    monkeypatch.setattr(sweep.device, "default_device", lambda: torch.device("cpu"))
    monkeypatch.setattr(sweep.device, "cores", lambda: 2)
    yield
    cluster.close_kept()


def small(**fields):
    """An experiment of seconds; any field can be given."""
    return Experiment.make(**{"data": "sample", "model": "TwoLayerNet", "epochs": 2, "batch_size": 16, **fields})


def run(experiment, dataset, **options):
    return train(experiment, dataset, on=torch.device("cpu"), **options)


#: Leaves some 350 images of the sample.
FEW = {"imbalance": "exponential", "factor": 0.02, "batch_size": 64}
#: Longer than any test waits.
ENDLESS = {"model": "ConvNet", "epochs": 5000}


def tiny(**fields):
    return small(**{**FEW, "epochs": 1, **fields})


def numbers(record):
    """All of a record that must not depend on how it was trained."""
    return record.key, record.counts, without_times(record.history)


def without_times(history):
    return [epoch.model_dump(exclude={"seconds", "images_per_second"}) for epoch in history]
