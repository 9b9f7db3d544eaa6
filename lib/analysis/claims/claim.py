"""A claim with its test, and the records that claims are tested on."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from types import SimpleNamespace
from typing import Any, Literal, NamedTuple

import numpy as np

from lib import data
from lib.analysis.balancing import beta_groups, treatments
from lib.analysis.statistics import Runs, records_of
from lib.training import Record

Outcome = Literal["supported", "contradicted", "undecided", "not tested"]
VERDICTS: tuple[Outcome, ...] = ("supported", "contradicted", "undecided", "not tested")
MARGIN = 0.01  # difference in accuracy that counts as none: one percentage point
FLOOR = 0.01  # accuracy that counts as some: a tenth of guessing
SEVERAL = 3  # number of seeds from which "in no run" and "the best of all" count


class NotRun(Exception):
    """Raised where records that a claim needs are missing; the message names them."""


@dataclass(frozen=True, order=True)
class Setting:
    """Settings that the original may have trained with where it does not state them."""

    learning_rate: float
    batch_size: int
    subset_seed: int = 0

    def __str__(self) -> str:
        draw = f", draw {self.subset_seed}" if self.subset_seed else ""
        return f"rate {self.learning_rate:g}, batch {self.batch_size}{draw}"


@dataclass(frozen=True)
class Evidence:
    """Records by the claims' needs. A setting that was asked for and not run is there, and empty."""

    original: Mapping[str, Any]  # the original's figures, from lib.analysis.original
    cross_entropy: Runs = field(default_factory=dict)  # on the long tail
    balanced: Mapping[float, Runs] = field(default_factory=dict)  # class-balanced focal loss, by beta
    convnet: Mapping[Setting, Runs] = field(default_factory=dict)  # on all of CIFAR-10
    gammas: Mapping[float, Mapping[float, Runs]] = field(default_factory=dict)  # as `balanced`, by beta and gamma
    candidates: Mapping[Setting, tuple[Runs, Runs]] = field(default_factory=dict)  # rows of the closing table: (CE, CB)
    departure: str = ""  # how the profile departs from what the original states: then nothing is tested on runs

    def among(self, seeds: Sequence[int]) -> "Evidence":
        """The sweep's runs from these seeds, and no others."""

        def some(runs: Runs) -> Runs:
            return {seed: record for seed, record in runs.items() if seed in seeds}

        balanced = {beta: some(runs) for beta, runs in self.balanced.items()}
        return Evidence(self.original, some(self.cross_entropy), balanced, departure=self.departure)

    @property
    def chosen(self) -> float:
        """The beta that the original chooses."""
        return self.original["chosen_beta"]

    @property
    def counts(self) -> list[int]:
        """Training images per class; none without runs."""
        return next((record.counts for record in records_of(*self.balanced.values())), [])

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
        """`balancing.treatments` of the sweep's betas and the original's; a group of which none was run is empty."""
        every: dict[float, Runs] = {beta: {} for beta in self.original["class_balanced_focal"]} | dict(self.balanced)
        return treatments(every, self.counts, prefer=self.chosen)

    def replicates(self) -> np.ndarray:
        """The original's rows [betas, C] whose class weights are those of its chosen beta to within a thousandth."""
        rows = self.original["class_balanced_focal"]
        alike = next(group for group in beta_groups(self.original["counts"], list(rows)) if self.chosen in group)
        return np.array([rows[beta] for beta in alike])


class Found(SimpleNamespace):
    """Statistics of a claim by name, and `records`: those of the runs that the statistics come from."""

    def __init__(self, *runs: Runs, **statistics: Any):
        super().__init__(records=records_of(*runs), **statistics)


class Answer(NamedTuple):
    """Sentences of markdown on a claim and its records."""

    short: str  # the reason in half a sentence, for the ledger
    letter: str  # does the statement hold here? the figures and the test
    effect: str = ""  # is the original's figure what one more run would give?
    mechanism: str = ""  # is the stated reason the reason?


@dataclass(frozen=True)
class Verdict:
    """The outcome of one claim on some records."""

    verdict: Outcome
    answer: Answer
    records: Sequence[Record] = ()

    @property
    def because(self) -> str:
        """The answer as a list of its parts."""
        parts = {"Letter": self.answer.letter, "Effect size": self.answer.effect, "Mechanism": self.answer.mechanism}
        return "\n".join(f"- *{name}:* {said}" for name, said in parts.items() if said)


@dataclass(frozen=True)
class Claim:
    """One statement of the original, and its test in three steps."""

    number: int
    statement: str
    rule: str
    measure: Callable[[Evidence], Found]  # raises NotRun where records are missing
    judge: Callable[[Found], Outcome]  # the rule, which decides the letter
    explain: Callable[[Found], Answer]

    @classmethod
    def of(cls, name: str) -> "Claim":
        """Return the claim of a file: its docstring, "Claim N: statement" and "Rule: rule", and its functions."""
        file: Any = import_module(f"{__package__}.{name}")
        head, rule = (" ".join(part.split()) for part in file.__doc__.split("Rule: "))
        number, statement = head.removeprefix("Claim ").split(": ", 1)
        return cls(int(number), statement, rule, file.measure, file.judge, file.explain)

    def test(self, evidence: Evidence) -> Verdict:
        """Apply the rule to the records that there are."""
        try:
            found = self.measure(evidence)
        except NotRun as missing:
            found, lacking = None, str(missing)
        if evidence.departure and (found is None or found.records):  # what needs no records is tested all the same
            said = f"{evidence.departure[0].upper()}{evidence.departure[1:]}."
            return Verdict("not tested", Answer("this profile has other settings", said))
        if found is None:
            return Verdict("undecided", Answer(f"not run yet: {lacking}", f"Not run yet: {lacking}."))
        return Verdict(self.judge(found), self.explain(found), found.records)
