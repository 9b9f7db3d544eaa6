"""What the claims are held against, and what comes of it."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from lib import losses
from lib.analysis.betas import beta_groups
from lib.training import Record

#: Runs of one setting by their seed; runs of two settings are paired by it.
Runs = Mapping[int, Record]


@dataclass(frozen=True, order=True)
class Setting:
    """What the write-up may have trained with where it does not say."""

    learning_rate: float
    batch_size: int

    def __str__(self) -> str:
        return f"rate {self.learning_rate:g}, batch {self.batch_size}"


@dataclass(frozen=True)
class Evidence:
    """Records by what the claims need of them. What was asked for and not run is there, and empty."""

    published: Mapping[str, Any]  # as lib.analysis.original gives it
    cross_entropy: Runs = field(default_factory=dict)  # on the long tail
    balanced: Mapping[float, Runs] = field(default_factory=dict)  # class-balanced focal loss, by beta
    convnet: Mapping[int, Runs] = field(default_factory=dict)  # on all of CIFAR-10, by batch size
    gammas: Mapping[float, Runs] = field(default_factory=dict)  # class-balanced focal loss at one beta, by gamma
    gamma_beta: float | None = None  # that beta
    #: The two rows of the closing table under the settings it may have been made with: (cross-entropy, balanced).
    candidates: Mapping[Setting, tuple[Runs, Runs]] = field(default_factory=dict)
    losses: Mapping[str, Callable] = field(
        default_factory=lambda: {name: getattr(losses, name) for name in losses.LOSSES}
    )

    @property
    def chosen(self) -> float:
        """The beta that the write-up chooses."""
        return self.published["chosen_beta"]

    @property
    def counts(self) -> list[int] | None:
        """Training images per class; None without runs."""
        return next((record.counts for runs in self.balanced.values() for record in runs.values()), None)

    @property
    def published_betas(self) -> Sequence[float]:
        return list(self.published["class_balanced_focal"])

    def treatments(self) -> dict[tuple[float, ...], Runs]:
        """The published betas that no run could tell apart, together, and the runs of one of them.

        That is the write-up's choice where it is among them, else the first that was run.
        """
        found = {}
        for group in beta_groups(self.counts, self.published_betas):
            first = [self.chosen] if self.chosen in group else []
            ran = (self.balanced[beta] for beta in [*first, *group] if self.balanced.get(beta))
            found[tuple(group)] = next(ran, {})
        return found


@dataclass(frozen=True)
class Verdict:
    """What the records say about one claim."""

    verdict: Literal["supported", "contradicted", "undecided"]
    because: str  # the figures and the test, as sentences of markdown
    records: Sequence[Record] = ()
    short: str = ""  # the reason in half a sentence, for the first page; "" where undecided


def not_run(what: str) -> Verdict:
    """The verdict where records are missing."""
    return Verdict("undecided", f"Not run yet: {what}.")


def shared_seeds(runs: Mapping[Hashable, Runs], must: Hashable, least: int = 1) -> tuple[list[int], list[Hashable]]:
    """Seeds that settings share, and these settings: as many runs as can be had, `must` among them.

    A setting with few runs is left out rather than that it cuts all others down to its seeds.
    """
    choices = {frozenset(by_seed.keys() & runs[must].keys()) for by_seed in runs.values()}
    best: tuple[list[int], list[Hashable]] = ([], [])
    for seeds in sorted(choices, key=sorted):
        names = [name for name, by_seed in runs.items() if seeds <= by_seed.keys()]
        if len(seeds) >= least and len(seeds) * len(names) > len(best[0]) * len(best[1]):
            best = (sorted(seeds), names)
    return best


def paired(a: Runs, b: Runs, value: Callable[[Record], Any]) -> tuple[np.ndarray, np.ndarray]:
    """A value of the runs of two settings with the same seeds, each [pairs, ...]."""
    seeds = sorted(a.keys() & b.keys())
    return np.array([value(a[s]) for s in seeds]), np.array([value(b[s]) for s in seeds])


def accuracy(record: Record) -> float:
    """The clean protocol's: at the last epoch. The test set is balanced, so this is the mean over classes too."""
    return record.last.test.accuracy


def per_class(record: Record) -> np.ndarray:
    """The same by class, [C]."""
    return record.last.test.per_class


def values(runs: Runs, value: Callable[[Record], Any]) -> np.ndarray:
    """A value of every run, [runs, ...], by ascending seed."""
    return np.array([value(runs[seed]) for seed in sorted(runs)])


def one_image(runs: Runs, classes: int = 0) -> float:
    """What one test image is worth in accuracy: of all, or of so many classes."""
    confusion = np.asarray(next(iter(runs.values())).last.test.confusion)
    return 1 / (confusion.sum() * (classes or len(confusion)) / len(confusion))
