"""Data sets as verified uint8 tensors, long-tailed subsets and stratified splits.

A new data set needs a module with a function that returns a `Dataset`, its line in DATASETS, and a test.
"""

from collections.abc import Callable
from typing import NamedTuple

from lib.data import cifar10, sample
from lib.data.cifar10 import MEAN, STD, cache_path, fetch, install, is_cached
from lib.data.dataset import Dataset, ImageSet, digest
from lib.data.longtail import PROFILES, class_counts, long_tailed_indices, stratified_split
from lib.system.errors import UserError

__all__ = [
    "CLASS_NAMES",
    "DATASETS",
    "MEAN",
    "PROFILES",
    "STD",
    "Dataset",
    "ImageSet",
    "cache_path",
    "class_counts",
    "classes",
    "digest",
    "fetch",
    "install",
    "is_cached",
    "load",
    "long_tailed_indices",
    "stratified_split",
]


class Entry(NamedTuple):
    """A data set in the registry."""

    load: Callable[[], Dataset]
    classes: tuple[str, ...]


#: Every data set under the name that experiments and parameter files use.
DATASETS = {
    "cifar10": Entry(cifar10.load, cifar10.CLASSES),  # fetched on first use
    "sample": Entry(sample.load, cifar10.CLASSES),  # 1,600 images of it, shipped
}

CLASS_NAMES = cifar10.CLASSES  # for callers that do not ask for `classes(name)` or `Dataset.classes` yet


def load(name: str) -> Dataset:
    """Load a data set by its name in DATASETS.

    Raises:
        UserError: for an unknown name, and whatever the loader raises: no source, a damaged copy.
    """
    return _entry(name).load()


def classes(name: str) -> tuple[str, ...]:
    """Return the class names of a data set, by label, without loading its images."""
    return _entry(name).classes


def _entry(name: str) -> Entry:
    if name not in DATASETS:
        raise UserError(f"There is no data set {name!r}; known data sets: {', '.join(DATASETS)}.")
    return DATASETS[name]
