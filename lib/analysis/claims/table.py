"""Which settings the closing table was made with."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from lib.analysis.claims.evidence import Evidence, Runs, Verdict, not_run, values
from lib.analysis.statistics import prediction_interval
from lib.analysis.tables import percent, with_interval
from lib.training import Record

#: Runs of one setting from which its noise is known.
_SEVERAL = 3


def _best(record: Record) -> np.ndarray:
    """By class at the best epoch, the write-up's rule, which its published rows follow."""
    return record.best.test.per_class


def distance(runs: Runs, row: Sequence[float]) -> float:
    """Mean absolute difference over the classes between the runs' mean and a published row; NaN without runs."""
    return float(np.abs(values(runs, _best).mean(axis=0) - np.asarray(row)).mean()) if runs else float("nan")


def noise(runs: Runs) -> float:
    """Largest distance of one run to the mean of the others: how far a row lies from its own kind. NaN for few."""
    if len(runs) < _SEVERAL:
        return float("nan")
    return max(distance({s: r for s, r in runs.items() if s != seed}, _best(runs[seed])) for seed in runs)


def same_settings(evidence: Evidence) -> Verdict:
    """Claim 9."""
    ce_row = evidence.published["cross_entropy"]
    balanced_row = evidence.published["class_balanced_focal"][evidence.chosen]
    missing = [str(setting) for setting, pair in evidence.candidates.items() if not all(pair)]
    if missing or not evidence.candidates:
        return not_run(f"both losses under all candidate settings ({'; '.join(missing) or 'none is there'} missing)")
    known = [level for pair in evidence.candidates.values() for runs in pair if not np.isnan(level := noise(runs))]

    def level(runs: Runs) -> float:
        own = noise(runs)
        return max(known, default=np.nan) if np.isnan(own) else own

    to_balanced = {setting: distance(cb, balanced_row) for setting, (_, cb) in evidence.candidates.items()}
    to_ce = {setting: distance(ce, ce_row) for setting, (ce, _) in evidence.candidates.items()}
    nearest, ce_nearest = min(to_balanced, key=to_balanced.get), min(to_ce, key=to_ce.get)
    reach = to_balanced[nearest] + (level(evidence.candidates[nearest][1]) if known else 0.0)
    possible = [setting for setting, away in to_balanced.items() if away <= reach]
    levels = {setting: level(evidence.candidates[setting][0]) for setting in possible}
    verdict = "undecided"
    if any(to_ce[setting] <= levels[setting] for setting in possible):
        verdict = "supported"
    elif all(to_ce[setting] > 2 * levels[setting] for setting in possible):
        verdict = "contradicted"
    others = [str(s) for s in possible if s != nearest]
    accuracies = values(evidence.candidates[nearest][0], lambda r: r.best.test.accuracy)
    low, high = prediction_interval(accuracies)
    range_ = "" if np.isnan(low) else f"; one more run would reach {percent(low)} to {percent(high)} %"
    said = (
        f"The published CB-Focal row is fitted best by {nearest} (mean distance over the classes: "
        f"{percent(to_balanced[nearest])} points)"
        + (f"; not told apart from it by the noise: {' and '.join(others)}" if others else "")
        + f". Cross-entropy under {nearest} reaches {with_interval(accuracies)} %{range_}; published are "
        f"{percent(float(np.mean(ce_row)))} %. The published cross-entropy row is "
        + "; ".join(f"{percent(to_ce[s])} points from that of {s} (noise {_or_unknown(levels[s])})" for s in possible)
        + f". It is fitted best by {ce_nearest}: {percent(to_ce[ce_nearest])} points."
    )
    return Verdict(
        verdict,
        said,
        [record for pair in evidence.candidates.values() for runs in pair for record in runs.values()],
        short=f"the cross-entropy row fits {ce_nearest} ({percent(to_ce[ce_nearest])} points away on average), the "
        f"CB-Focal row {nearest} ({percent(to_balanced[nearest])})",
    )


def _or_unknown(level: float) -> str:
    return "unknown: no setting has three runs" if np.isnan(level) else percent(level)


def distances(evidence: Evidence) -> pd.DataFrame:
    """One row per candidate: accuracy of both losses, and their distances (points) to the published rows."""
    rows = {}
    for setting, (ce, balanced) in sorted(evidence.candidates.items(), reverse=True):
        row = {}
        for name, runs, published in (
            ("CE", ce, evidence.published["cross_entropy"]),
            ("CB-Focal", balanced, evidence.published["class_balanced_focal"][evidence.chosen]),
        ):
            row[f"{name} (%)"] = with_interval(values(runs, lambda r: r.best.test.accuracy)) if runs else "not run yet"
            row[f"{name}: distance"] = percent(distance(runs, published)) if runs else "–"
            row[f"{name}: seeds"] = len(runs)
        rows[str(setting)] = row
    return pd.DataFrame(rows).T.rename_axis("settings")
