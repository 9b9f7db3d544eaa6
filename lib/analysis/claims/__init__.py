"""The write-up's claims, each held against records by a rule that was written before the runs were looked at."""

from lib.analysis.claims.evidence import Evidence, Runs, Setting, Verdict
from lib.analysis.claims.rules import CLAIMS, Claim, ledger

__all__ = ["CLAIMS", "Claim", "Evidence", "Runs", "Setting", "Verdict", "ledger"]
