"""The records behind the claims, and the values that the claims take from them."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

from lib import data
from lib.analysis.betas import beta_groups
from lib.training import Record

#: Runs of one setting by their seed; runs of two settings are paired by it.
Runs = Mapping[int, Record]
Name = TypeVar("Name", bound=Hashable)  # of a setting


class NotRun(Exception):
    """Raised where records that a claim needs are missing; the message names them."""


@dataclass(frozen=True, order=True)
class Setting:
    """Settings that the original may have trained with where it does not state them."""

    learning_rate: float
    batch_size: int

    def __str__(self) -> str:
        return f"rate {self.learning_rate:g}, batch {self.batch_size}"


@dataclass(frozen=True)
class Evidence:
    """Records by the claims' needs. A setting that was asked for and not run is there, and empty."""

    original: Mapping[str, Any]  # the original's figures, from lib.analysis.original
    cross_entropy: Runs = field(default_factory=dict)  # on the long tail
    balanced: Mapping[float, Runs] = field(default_factory=dict)  # class-balanced focal loss, by beta
    convnet: Mapping[int, Runs] = field(default_factory=dict)  # on all of CIFAR-10, by batch size
    gammas: Mapping[float, Runs] = field(default_factory=dict)  # class-balanced focal loss at one beta, by gamma
    gamma_beta: float | None = None  # that beta
    #: Both rows of the closing table under the settings that may have produced it: (cross-entropy, balanced).
    candidates: Mapping[Setting, tuple[Runs, Runs]] = field(default_factory=dict)

    @property
    def chosen(self) -> float:
        """The beta that the original chooses."""
        return self.original["chosen_beta"]

    @property
    def betas(self) -> list[float]:
        """The betas of the original's sweep."""
        return list(self.original["class_balanced_focal"])

    @property
    def counts(self) -> list[int] | None:
        """Training images per class; None without runs."""
        return next((record.counts for record in records_of(*self.balanced.values())), None)

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names of the data set that the sweep's runs were trained on, by label."""
        return data.classes(records_of(*self.balanced.values())[0].experiment.data)

    def labels(self, wanted: Sequence[str]) -> list[int]:
        """Labels of the named classes. Raises NotRun where the data set has no such class."""
        if unknown := [name for name in wanted if name not in self.classes]:
            raise NotRun(f"a data set with the class {' and '.join(unknown)}")
        return [self.classes.index(name) for name in wanted]

    def treatments(self) -> dict[tuple[float, ...], Runs]:
        """Group the original's betas by equal class weights, each with the runs of one beta of the group.

        The runs are those of the chosen beta where it is in the group, else of the first beta that was run. Without
        runs there are no groups.
        """
        found = {}
        for group in beta_groups(self.counts, self.betas) if self.counts else []:
            first = [self.chosen] if self.chosen in group else []
            ran = (self.balanced[beta] for beta in [*first, *group] if self.balanced.get(beta))
            found[tuple(group)] = next(ran, {})
        return found


def shared_seeds(runs: Mapping[Name, Runs], must: Name, least: int = 1) -> tuple[list[int], list[Name]]:
    """Seeds that settings share, and these settings: the choice with the most runs that includes `must`.

    A setting with few runs is left out, so that it does not cut all others down to its seeds.
    """
    choices = {frozenset(by_seed.keys() & runs[must].keys()) for by_seed in runs.values()}
    best: tuple[list[int], list[Name]] = ([], [])
    for seeds in sorted(choices, key=sorted):
        names = [name for name, by_seed in runs.items() if seeds <= by_seed.keys()]
        if len(seeds) >= least and len(seeds) * len(names) > len(best[0]) * len(best[1]):
            best = (sorted(seeds), names)
    return best


def by_seed(value: Callable[[Record], Any], *settings: Runs) -> np.ndarray:
    """A value of the runs of some settings from the seeds that all of them share, [settings, seeds, ...]."""
    seeds = sorted(set.intersection(*map(set, settings)))
    return np.array([[value(runs[seed]) for seed in seeds] for runs in settings])


def accuracy(record: Record) -> float:
    """Test accuracy at the last epoch. The test set is balanced, so this is the mean over the classes too."""
    return record.last.test.accuracy


def per_class(record: Record) -> np.ndarray:
    """Test accuracy of each class at the last epoch, [C]."""
    return record.last.test.per_class


def records_of(*settings: Runs) -> list[Record]:
    """All records of some settings."""
    return [record for runs in settings for record in runs.values()]


def one_image(runs: Runs, classes: int = 0) -> float:
    """The accuracy that one test image makes up: among all images, or among those of so many classes."""
    confusion = np.asarray(next(iter(runs.values())).last.test.confusion)
    return 1 / (confusion.sum() * (classes or len(confusion)) / len(confusion))
