"""Data sets as verified uint8 tensors, long-tailed subsets and stratified splits.

A new data set needs a module with `CLASSES` and `load()`, which returns a `Dataset`, its line in DATASETS, and a test.
"""

from types import ModuleType

from lib.data import cifar10, sample
from lib.data.cifar10 import fetch, install
from lib.data.dataset import Dataset, ImageSet, digest
from lib.data.longtail import PROFILES, long_tailed_indices, stratified_split
from lib.system.errors import UserError

__all__ = ["DATASETS", "PROFILES", "Dataset", "ImageSet", "classes", "digest", "fetch", "install", "load"]
__all__ += ["long_tailed_indices", "stratified_split"]

#: Every data set under the name that experiments and parameter files use.
DATASETS: dict[str, ModuleType] = {
    "cifar10": cifar10,  # fetched on first use
    "sample": sample,  # 1,600 images of it, shipped
}


def load(name: str) -> Dataset:
    """Load a data set by its name in DATASETS; UserError for an unknown name, no source, or a damaged copy."""
    return _module(name).load()


def classes(name: str) -> tuple[str, ...]:
    """Return the class names of a data set, by label, without loading its images."""
    return _module(name).CLASSES


def _module(name: str) -> ModuleType:
    if name not in DATASETS:
        raise UserError(f"There is no data set {name!r}; known data sets: {', '.join(DATASETS)}.")
    return DATASETS[name]
