"""CIFAR-10 as verified uint8 tensors, a shipped sample of it, long-tailed subsets and stratified splits.

Krizhevsky. Learning Multiple Layers of Features from Tiny Images. Technical report, University of
Toronto, 2009.
"""

from lib.data.cifar10 import CLASS_NAMES, MEAN, STD, Dataset, ImageSet, cache_path, fetch, install, is_cached
from lib.data.longtail import PROFILES, class_counts, long_tailed_indices, stratified_split
from lib.data.sources import SOURCES
from lib.system.errors import UserError

#: Every data set by the name that parameter files use.
DATASETS = ("cifar10", "sample")

__all__ = [
    "CLASS_NAMES",
    "DATASETS",
    "MEAN",
    "PROFILES",
    "SOURCES",
    "STD",
    "Dataset",
    "ImageSet",
    "cache_path",
    "class_counts",
    "fetch",
    "install",
    "is_cached",
    "load",
    "long_tailed_indices",
    "stratified_split",
]


def load(name: str = "cifar10", source: str = "auto") -> Dataset:
    """A data set by name.

    Args:
        name: "cifar10" (50,000 training and 10,000 test images; fetched when not cached) or "sample" (1,280
            and 320 of them, shipped with the repository; needs no network).
        source: where "cifar10" is fetched from, as in `fetch`.

    Raises:
        UserError: for an unknown name, what `fetch` refuses, and a damaged sample.
    """
    if name == "cifar10":
        from lib.data import cifar10

        return cifar10.load(source)
    if name == "sample":
        from lib.data import sample

        return sample.load()
    raise UserError(f"There is no data set {name!r}; known data sets: cifar10, sample.")
