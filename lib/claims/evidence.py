"""What the claims are held against, and what comes of it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from lib.losses import LOSSES, neutral_betas
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
    """Records by what the claims need of them. What was not run is left out, and the verdicts say so."""

    published: Mapping[str, Any]  # as lib.published gives it
    cross_entropy: Runs = field(default_factory=dict)  # on the long tail
    balanced: Mapping[float, Runs] = field(default_factory=dict)  # class-balanced focal loss, by beta
    convnet: Mapping[int, Runs] = field(default_factory=dict)  # on all of CIFAR-10, by batch size
    gammas: Mapping[float, Runs] = field(default_factory=dict)  # class-balanced focal loss at one beta, by gamma
    #: The two rows of the closing table under the settings it may have been made with: (cross-entropy, balanced).
    candidates: Mapping[Setting, tuple[Runs, Runs]] = field(default_factory=dict)
    losses: Mapping[str, Callable] = field(default_factory=lambda: LOSSES)

    @property
    def chosen(self) -> float:
        """The beta that the write-up chooses."""
        return self.published["chosen_beta"]

    @property
    def counts(self) -> list[int]:
        """Training images per class."""
        return next(iter(next(iter(self.balanced.values())).values())).counts

    def distinct_betas(self) -> list[float]:
        """The published betas that were run, ascending; of those with equal weights the first."""
        betas = sorted(beta for beta, runs in self.balanced.items() if runs and beta in self.published_betas)
        alike = neutral_betas(self.counts, betas) if betas else []
        return [beta for beta in betas if beta not in alike[1:]]

    @property
    def published_betas(self) -> Sequence[float]:
        return list(self.published["class_balanced_focal"])


@dataclass(frozen=True)
class Verdict:
    """What the records say about one claim."""

    verdict: Literal["supported", "contradicted", "undecided"]
    because: str  # the figures and the test, as sentences of markdown
    records: Sequence[Record] = ()


def not_run(what: str) -> Verdict:
    """The verdict where records are missing."""
    return Verdict("undecided", f"Not run yet: {what}.")


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
