"""Which settings the closing table was made with."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from lib.claims.evidence import Evidence, Runs, Setting, Verdict, not_run, values
from lib.statistics import mean_interval, prediction_interval
from lib.tables import percent, with_interval
from lib.training import Record


def _best(record: Record) -> np.ndarray:
    """By class at the best epoch, the write-up's rule, which its published rows follow."""
    return record.best.test.per_class


def distance(runs: Runs, row: Sequence[float]) -> float:
    """Mean absolute difference over the classes between the runs' mean and a published row; NaN without runs."""
    return float(np.abs(values(runs, _best).mean(axis=0) - np.asarray(row)).mean()) if runs else float("nan")


def _nearest(candidates: Mapping[Setting, Runs], row: Sequence[float]) -> Setting:
    return min(candidates, key=lambda setting: distance(candidates[setting], row))


def same_settings(evidence: Evidence) -> Verdict:
    """Claim 9."""
    ce_row = evidence.published["cross_entropy"]
    balanced_row = evidence.published["class_balanced_focal"][evidence.chosen]
    ce = {setting: runs for setting, (runs, _) in evidence.candidates.items() if runs}
    balanced = {setting: runs for setting, (_, runs) in evidence.candidates.items() if runs}
    if not balanced or _nearest(balanced, balanced_row) not in ce:
        return not_run("both losses under the settings that the closing table may have been made with")
    fits, ce_fits = _nearest(balanced, balanced_row), _nearest(ce, ce_row)
    accuracies, published = values(ce[fits], lambda r: r.best.test.accuracy), float(np.mean(ce_row))
    low, high = prediction_interval(accuracies)
    could = low <= published <= high
    better = ce_fits != fits
    several = len(accuracies) > 1
    verdict = "undecided"
    if several:
        verdict = "supported" if could else "contradicted" if better else "undecided"
    reached = with_interval(accuracies)
    range_ = f"one more run would reach {percent(low)} to {percent(high)} %" if several else "one seed: no interval"
    return Verdict(
        verdict,
        f"The published CB-Focal row is fitted best by {fits} (mean distance over the classes: "
        f"{percent(distance(balanced[fits], balanced_row))} points). Cross-entropy under the same settings reaches "
        f"{reached} % ({range_}); published are {percent(published)} %. "
        + (
            f"The published cross-entropy row is fitted best by {ce_fits} "
            f"({percent(distance(ce[ce_fits], ce_row))} points, against {percent(distance(ce[fits], ce_row))})."
            if better
            else f"No other of the {len(ce)} settings fits the published cross-entropy row better "
            f"({percent(distance(ce[fits], ce_row))} points)."
        ),
        [record for runs in (*ce.values(), *balanced.values()) for record in runs.values()],
    )


def distances(evidence: Evidence) -> pd.DataFrame:
    """One row per candidate: accuracy of both losses, and their distances (points) to the published rows."""
    rows = {}
    for setting, (ce, balanced) in sorted(evidence.candidates.items(), reverse=True):
        row = {}
        for name, runs, published in (
            ("CE", ce, evidence.published["cross_entropy"]),
            ("CB-Focal", balanced, evidence.published["class_balanced_focal"][evidence.chosen]),
        ):
            reached = mean_interval(values(runs, lambda r: r.best.test.accuracy)) if runs else None
            row[f"{name} (%)"] = percent(*map(float, reached)) if reached else "not run yet"
            row[f"{name}: distance"] = percent(distance(runs, published)) if runs else "–"
            row[f"{name}: seeds"] = len(runs)
        rows[str(setting)] = row
    return pd.DataFrame(rows).T.rename_axis("settings")
