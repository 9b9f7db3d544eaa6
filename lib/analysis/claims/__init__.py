"""The original's claims, one file each: statistics, rule, wording. docs/analysis-plan.md dates the rules.

Settings are compared on the runs that share their seeds (`lib.analysis.statistics.contrasts`) and at the last epoch,
so that nothing is chosen on the test set; claim 9 alone follows the original's best epoch. Where one of several
differences is enough for a verdict, their intervals hold together at 95 % (Bonferroni); where all are needed, each is
tested at 95 %.
"""

import pandas as pd

from lib.analysis.claims.claim import VERDICTS, Claim, Evidence, Setting, Verdict

__all__ = ["CLAIMS", "VERDICTS", "Claim", "Evidence", "Setting", "Verdict", "ledger", "table"]

#: The ledger, by the claims' files. A new claim is added here.
_FILES = ["batch_size", "chosen_beta", "every_class", "regularisation", "monotony", "true_class", "rare_classes"]
_FILES += ["gamma", "closing_table"]
CLAIMS = [Claim.of(name) for name in _FILES]


def ledger(evidence: Evidence) -> list[tuple[Claim, Verdict]]:
    """Every claim with its verdict on these records."""
    return [(claim, claim.test(evidence)) for claim in CLAIMS]


def table(ledger: list[tuple[Claim, Verdict]]) -> pd.DataFrame:
    """One row per claim: statement and verdict."""
    rows = [(claim.number, claim.statement, found.verdict) for claim, found in ledger]
    return pd.DataFrame(rows, columns=["", "claim", "verdict"]).set_index("")
