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
    candidates, original = evidence.candidates, original_rows(evidence)
    missing = "; ".join(str(setting) for setting, pair in candidates.items() if not all(pair))
    if missing or not candidates:
        raise NotRun("both losses under all candidate settings" + (f" (missing: {missing})" if missing else ""))
    pairs = {setting: [*map(distance, pair, original), *map(noise, pair)] for setting, pair in candidates.items()}
    away = pd.DataFrame.from_dict(pairs, orient="index", columns=["ce", "balanced", "ce_noise", "balanced_noise"])
    if away[["ce", "balanced"]].isna().any(axis=None):
        raise NotRun(f"a data set with {len(original[0])} classes")
    away = away.fillna(away[["ce_noise", "balanced_noise"]].max(axis=None))  # fewer than three runs
    nearest = away["balanced"].idxmin()
    reach = away["balanced"][nearest] + np.nan_to_num(away["balanced_noise"][nearest])
    return Found(
        *(runs for pair in candidates.values() for runs in pair),
        away=away,  # distances to the original's rows, and noise, by setting
        nearest=nearest,  # to the balanced row
        possible=away[away["balanced"] <= reach],  # settings that the original's balanced row may come from
        accuracies=[record.best.test.accuracy for record in candidates[nearest][0].values()],
        original=float(np.mean(original[0])),
    )


def judge(found: Found) -> Outcome:
    away, noise = found.possible["ce"], found.possible["ce_noise"]
    return "supported" if (away <= noise).any() else "contradicted" if (away > 2 * noise).all() else "undecided"


def explain(found: Found) -> tuple[str, str]:
    nearest, ce_nearest = found.nearest, found.away["ce"].idxmin()
    away, ce_away = percent(found.away["balanced"][nearest]), percent(found.away["ce"][ce_nearest])
    others = " and ".join(str(setting) for setting in found.possible.index if setting != nearest)
    levels = found.possible[["ce", "ce_noise"]].itertuples()
    low, high = prediction_interval(found.accuracies)
    predicted = "" if np.isnan(low) else f" (95 % prediction interval {percent(low)} to {percent(high)} %)"
    said = (
        f"The original's CB-Focal row is nearest to {nearest} (mean distance over the classes: {away} points)"
        + (f"; within the noise also: {others}" if others else "")
        + f". Cross-entropy with {nearest} has {with_interval(found.accuracies)} %{predicted}; "
        f"the original states {percent(found.original)} %. The original's cross-entropy row is "
        + "; ".join(f"{percent(away)} points from that of {name} ({_noise(level)})" for name, away, level in levels)
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
