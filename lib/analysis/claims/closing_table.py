"""Claim 9: Implied by the closing table: both losses were trained with otherwise equal settings.

Rule: The noise of a row is the largest distance of a run to the mean of its setting's other runs (with fewer than three
runs, the largest of all settings). A setting is possible if its CB-Focal row is, within that noise, as near to the
original's CB-Focal row as the nearest one. Supported if cross-entropy's mean row under a possible setting is within the
noise of the original's, contradicted if under all of them it is farther than twice the noise; undecided before all
candidates are run.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from lib.analysis.claims.claim import SEVERAL, Evidence, Found, NotRun, Outcome
from lib.analysis.statistics import Runs, per_class, prediction_interval
from lib.analysis.tables import percent, reached, with_interval


def distance(runs: Runs, row: Sequence[float] | np.ndarray) -> float:
    """Mean absolute difference over the classes between a row and the mean of some runs; NaN where not comparable.

    The runs are taken at their best epoch on the test set, the original's rule, which its rows follow.
    """
    mean = per_class(list(runs.values())).mean(axis=0) if runs else np.empty(0)
    return float(np.abs(mean - np.asarray(row)).mean()) if len(mean) == len(row) else np.nan


def noise(runs: Runs) -> float:
    """Largest distance of one run to the mean of the others; NaN for fewer than three."""
    if len(runs) < SEVERAL:
        return np.nan
    return max(distance({s: r for s, r in runs.items() if s != seed}, runs[seed].best.test.per_class) for seed in runs)


def original_rows(evidence: Evidence) -> tuple[Sequence[float], Sequence[float]]:
    """The closing table's rows: cross-entropy, class-balanced focal loss."""
    return evidence.original["cross_entropy"], evidence.original["class_balanced_focal"][evidence.chosen]


def measure(evidence: Evidence) -> Found:
    candidates, (ce_row, balanced_row) = evidence.candidates, original_rows(evidence)
    missing = [str(setting) for setting, pair in candidates.items() if not all(pair)]
    if missing or not candidates:
        raise NotRun(
            "both losses under all candidate settings" + (f" (missing: {'; '.join(missing)})" if missing else "")
        )
    to_ce = {setting: distance(ce, ce_row) for setting, (ce, _) in candidates.items()}
    to_balanced = {setting: distance(balanced, balanced_row) for setting, (_, balanced) in candidates.items()}
    if np.isnan([*to_ce.values(), *to_balanced.values()]).any():
        raise NotRun(f"a data set with {len(ce_row)} classes")
    known = [own for pair in candidates.values() for runs in pair if not np.isnan(own := noise(runs))]

    def level(runs: Runs) -> float:
        own = noise(runs)
        return max(known, default=np.nan) if np.isnan(own) else own

    nearest = min(to_balanced, key=to_balanced.__getitem__)
    ce_runs, balanced_runs = candidates[nearest]
    reach = to_balanced[nearest] + np.nan_to_num(level(balanced_runs))
    possible = [setting for setting, away in to_balanced.items() if away <= reach]
    return Found(
        *(runs for pair in candidates.values() for runs in pair),
        to_ce=to_ce,  # distances to the original's cross-entropy row, by setting
        to_balanced=to_balanced,
        nearest=nearest,  # setting, to the balanced row
        # Settings that the original's balanced row may come from, with the noise of cross-entropy's row.
        possible={setting: level(candidates[setting][0]) for setting in possible},
        accuracies=[record.best.test.accuracy for record in ce_runs.values()],
        original=float(np.mean(ce_row)),
    )


def judge(found: Found) -> Outcome:
    if any(found.to_ce[setting] <= noise for setting, noise in found.possible.items()):
        return "supported"
    beyond = all(found.to_ce[setting] > 2 * noise for setting, noise in found.possible.items())
    return "contradicted" if beyond else "undecided"


def explain(found: Found) -> tuple[str, str]:
    nearest, ce_nearest = found.nearest, min(found.to_ce, key=found.to_ce.__getitem__)
    away, ce_away = percent(found.to_balanced[nearest]), percent(found.to_ce[ce_nearest])
    others = " and ".join(str(setting) for setting in found.possible if setting != nearest)
    low, high = prediction_interval(found.accuracies)
    predicted = "" if np.isnan(low) else f" (95 % prediction interval {percent(low)} to {percent(high)} %)"
    said = (
        f"The original's CB-Focal row is nearest to {nearest} (mean distance over the classes: {away} points)"
        + (f"; within the noise also: {others}" if others else "")
        + f". Cross-entropy with {nearest} has {with_interval(found.accuracies)} %{predicted}; "
        f"the original states {percent(found.original)} %. The original's cross-entropy row is "
        + "; ".join(
            f"{percent(found.to_ce[s])} points from that of {s} ({_noise(n)})" for s, n in found.possible.items()
        )
        + f". It is nearest to {ce_nearest}: {ce_away} points."
    )
    return said, (
        f"the cross-entropy row is nearest to {ce_nearest} (mean distance {ce_away} points), the CB-Focal row to "
        f"{nearest} ({away})"
    )


def _noise(level: float) -> str:
    return "noise unknown: no setting has three runs" if np.isnan(level) else f"noise {percent(level)}"


def distances(evidence: Evidence) -> pd.DataFrame:
    """One row per candidate: accuracy of both losses, and their distances (points) to the original's rows."""
    rows: dict[str, dict[str, str | int]] = {}
    for setting, pair in sorted(evidence.candidates.items(), reverse=True):
        row = rows[str(setting)] = {}
        for name, runs, original in zip(("CE", "CB-Focal"), pair, original_rows(evidence), strict=True):
            row[f"{name} (%)"] = reached(runs, "best")
            row[f"{name}: distance"] = percent(distance(runs, original))
            row[f"{name}: seeds"] = len(runs)
    return pd.DataFrame(rows).T.rename_axis("settings")
