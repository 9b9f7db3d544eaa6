"""The original's claims, one file each: statistics, rule, wording. docs/analysis-plan.md states and dates the rules.

Settings are compared on all their runs by Welch's test and at the last epoch, so that no epoch is chosen on the test
set; what is compared with a published figure follows the original's rule, the best epoch. Where one of several
differences is enough for a verdict, their intervals hold together at 95 % (Bonferroni); where all are needed, each is
tested at 95 %.
"""

from collections.abc import Sequence
from typing import NamedTuple

import pandas as pd

from lib.analysis.claims.claim import VERDICTS, Answer, Claim, Evidence, Setting, Verdict

__all__ = ["CLAIMS", "VERDICTS", "Answer", "Claim", "Evidence", "Row", "Setting", "Verdict", "ledger", "table"]

#: The ledger, by the claims' files. A new claim is added here.
_FILES = ["batch_size", "chosen_beta", "every_class", "regularisation", "monotony", "true_class", "rare_classes"]
_FILES += ["gamma", "closing_table"]
CLAIMS = [Claim.of(name) for name in _FILES]


class Row(NamedTuple):
    """One claim of the ledger."""

    claim: Claim
    found: Verdict
    fresh: Verdict | None  # from the sweep's fresh seeds alone; None where they are too few, or all that was tested


def ledger(evidence: Evidence, fresh: Sequence[int] = ()) -> list[Row]:
    """Every claim with its verdict on these records; `fresh` are the seeds that the sweep's claims are confirmed on."""
    tested = [(c, c.test(evidence), c.test(evidence.among(fresh))) for c in CLAIMS]
    return [Row(c, every, new if new.records and new.records != every.records else None) for c, every, new in tested]


def table(ledger: Sequence[Row]) -> pd.DataFrame:
    """One row per claim: statement, verdict, its verdict on fresh seeds where they were run, and the reason."""
    rows = {}
    for claim, found, fresh in ledger:
        own = {"claim": claim.statement, "verdict": found.verdict, "fresh seeds": fresh.verdict if fresh else "–"}
        rows[claim.number] = own | {"because": found.answer.short}
    table = pd.DataFrame(rows).T
    return table if any(row.fresh for row in ledger) else table.drop(columns="fresh seeds")
