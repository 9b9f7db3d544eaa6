"""A claim, its verdict, and the phrases that several claims share."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

import numpy as np

from lib.analysis.claims.evidence import Evidence, NotRun
from lib.analysis.statistics import Difference
from lib.analysis.tables import difference
from lib.training import Record

Outcome = Literal["supported", "contradicted", "undecided"]
VERDICTS: tuple[Outcome, ...] = ("supported", "contradicted", "undecided")

#: Difference in accuracy that counts as none: one percentage point.
MARGIN = 0.01
#: Number of seeds from which "in no run" and "the best of all" count.
SEVERAL = 3


Found = TypeVar("Found")  # the statistics of a claim


@dataclass(frozen=True)
class Verdict:
    """The outcome of one claim on some records."""

    verdict: Outcome
    because: str  # the figures and the test, as sentences of markdown
    records: Sequence[Record] = ()
    short: str = ""  # the reason in half a sentence, for the first page; used where the claim is decided


@dataclass(frozen=True)
class Claim(Generic[Found]):
    """One statement of the original, and its test in three steps."""

    number: int
    statement: str
    rule: str
    #: Statistics, and the records they come from; raises NotRun where records are missing.
    measure: Callable[[Evidence], tuple[Found, Sequence[Record]]]
    judge: Callable[[Found], Outcome]  # statistics -> verdict: the rule
    explain: Callable[[Found], tuple[str, str]]  # statistics -> `because` and `short` of the verdict

    def test(self, evidence: Evidence) -> Verdict:
        """Apply the rule to the records that there are."""
        try:
            found, records = self.measure(evidence)
        except NotRun as missing:
            return Verdict("undecided", f"Not run yet: {missing}.")
        because, short = self.explain(found)
        return Verdict(self.judge(found), because, records, short)


def interval(d: Difference) -> str:
    """A difference of accuracies in a sentence."""
    words = difference(d).replace(" [", " points [", 1)
    return words if "[" in words else f"{words} points (one seed: no interval)"


def named(names: Sequence[str]) -> str:
    """Class names as a list in a sentence."""
    return f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else names[0] if names else "no class"


def spans(groups: Sequence[Sequence[float]]) -> str:
    """Groups of betas, each by its first and last."""
    return "; ".join(f"{g[0]:g}" if len(g) == 1 else f"{g[0]:g} to {g[-1]:g}" for g in groups) or "none"


def resolution(differences: Sequence[Difference]) -> str:
    """The size of the intervals, as half a sentence; "" for a single seed."""
    half = float(np.median([d.high - d.mean for d in differences])) if differences else np.nan
    return "" if np.isnan(half) else f" (median half-width of the intervals: {100 * half:.0f} points)"
