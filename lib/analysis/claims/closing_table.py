"""Claim 9: Implied by the closing table: both losses were trained with otherwise equal settings.

Rule: The noise of a row is the largest distance of a run to the mean of its setting's other runs (with fewer than three
runs, the largest of all settings). A setting is possible if its CB-Focal row is, within that noise, as near to the
original's CB-Focal row as the nearest one. Supported if cross-entropy's mean row under a possible setting is within the
noise of the original's, contradicted if under all of them it is farther than twice the noise; undecided before all
candidates are run.
"""

from collections.abc import Sequence
from types import SimpleNamespace

import numpy as np
import pandas as pd

from lib.analysis.claims.claim import SEVERAL, Evidence, Found, NotRun, Outcome
from lib.analysis.statistics import Runs, accuracy, best_accuracy, by_seed, paired_difference, prediction_interval
from lib.analysis.tables import percent, reached, with_interval


def original_rows(evidence: Evidence) -> tuple[Sequence[float], Sequence[float]]:
    """The closing table's rows: cross-entropy, class-balanced focal loss."""
    return evidence.original["cross_entropy"], evidence.original["class_balanced_focal"][evidence.chosen]


def distance(runs: Runs, row: Sequence[float] | np.ndarray) -> float:
    """Mean absolute difference over the classes between a row and the mean of some runs; NaN where not comparable.

    The runs are taken at their best epoch on the test set, the original's rule, which its rows follow.
    """
    mean = np.mean([record.best.test.per_class for record in runs.values()], axis=0) if runs else np.empty(0)
    return float(np.abs(mean - np.asarray(row)).mean()) if len(mean) == len(row) else np.nan


def noise(runs: Runs) -> float:
    """Largest distance of one run to the mean of the others; NaN for fewer than three."""
    if len(runs) < SEVERAL:
        return np.nan
    return max(distance({s: r for s, r in runs.items() if s != seed}, runs[seed].best.test.per_class) for seed in runs)


def distances(evidence: Evidence) -> pd.DataFrame:
    """One row per candidate: distances of both losses' rows to the original's, and the rows' noise."""
    original, candidates = original_rows(evidence), evidence.candidates
    rows = {setting: [*map(distance, pair, original), *map(noise, pair)] for setting, pair in candidates.items()}
    return pd.DataFrame.from_dict(rows, orient="index", columns=["ce", "balanced", "ce_noise", "balanced_noise"])


def measure(evidence: Evidence) -> Found:
    candidates, original = evidence.candidates, evidence.original["cross_entropy"]
    missing = "; ".join(str(setting) for setting, pair in candidates.items() if not all(pair))
    if missing or not candidates:
        raise NotRun("both losses under all candidate settings" + (f" (missing: {missing})" if missing else ""))
    away = distances(evidence)
    if away[["ce", "balanced"]].isna().any(axis=None):
        raise NotRun(f"a data set with {len(original)} classes")
    away = away.fillna(away[["ce_noise", "balanced_noise"]].max(axis=None))  # fewer than three runs
    nearest = away["balanced"].idxmin()
    reach = away["balanced"][nearest] + np.nan_to_num(away["balanced_noise"][nearest])
    return Found(
        *(runs for pair in candidates.values() for runs in pair),
        away=away,
        nearest=nearest,  # to the balanced row
        possible=away[away["balanced"] <= reach],  # settings that the original's balanced row may come from
        accuracies=[*map(best_accuracy, candidates[nearest][0].values())],
        original=float(np.mean(original)),
    )


def judge(found: Found) -> Outcome:
    away, noise = found.possible["ce"], found.possible["ce_noise"]
    return "supported" if (away <= noise).any() else "contradicted" if (away > 2 * noise).all() else "undecided"


def explain(found: Found) -> tuple[str, str]:
    nearest, ce_nearest = found.nearest, found.away["ce"].idxmin()
    away, ce_away = percent(found.away["balanced"][nearest]), percent(found.away["ce"][ce_nearest])
    others = " and ".join(str(setting) for setting in found.possible.index if setting != nearest)
    low, high = map(percent, prediction_interval(found.accuracies))
    unknown = "unknown: no setting has three runs"
    rows = [
        f"{percent(away)} points from that of {setting} (noise {unknown if np.isnan(noise) else percent(noise)})"
        for setting, away, noise in found.possible[["ce", "ce_noise"]].itertuples()
    ]
    said = (
        f"The original's CB-Focal row is nearest to {nearest} (mean distance over the classes: {away} points)"
        + (f"; within the noise also: {others}" if others else "")
        + f". Cross-entropy with {nearest} has {with_interval(found.accuracies)} %"
        + (f" (95 % prediction interval {low} to {high} %)" if len(found.accuracies) > 1 else "")
        + f"; the original states {percent(found.original)} %. The original's cross-entropy row is {'; '.join(rows)}. "
        f"It is nearest to {ce_nearest}: {ce_away} points."
    )
    return said, (
        f"the cross-entropy row is nearest to {ce_nearest} (mean distance {ce_away} points), the CB-Focal row to "
        f"{nearest} ({away})"
    )


def table(evidence: Evidence) -> pd.DataFrame:
    """One row per candidate: accuracy of both losses, and their distances (points) to the original's rows."""
    rows: dict[str, dict[str, str | int]] = {}
    for setting, pair in sorted(evidence.candidates.items(), reverse=True):
        row = rows[str(setting)] = {}
        for name, runs, original in zip(("CE", "CB-Focal"), pair, original_rows(evidence), strict=True):
            row[f"{name} (%)"] = reached(runs, best_accuracy)
            row[f"{name}: distance"] = percent(distance(runs, original))
            row[f"{name}: seeds"] = len(runs)
    return pd.DataFrame(rows).T.rename_axis("settings")


def equal_settings(evidence: Evidence) -> SimpleNamespace | None:
    """Compare both losses under one setting for both; None without runs.

    Of the settings with the most shared seeds it takes the one nearest to the original's balanced row.
    """
    shared = {setting: len(ce.keys() & balanced.keys()) for setting, (ce, balanced) in evidence.candidates.items()}
    ran = [setting for setting, seeds in shared.items() if seeds]
    if not ran:
        return None
    away = distances(evidence)
    setting = max(ran, key=lambda s: (shared[s], -away["balanced"][s]))
    ce, balanced = by_seed(accuracy, *evidence.candidates[setting])
    ce_row, balanced_row = map(np.mean, original_rows(evidence))
    nearest = {row: min(ran, key=away[row].get) for row in ("ce", "balanced")}
    return SimpleNamespace(
        setting=setting,
        gain=paired_difference(balanced, ce),  # at the last epoch
        original=balanced_row - ce_row,
        ce=(nearest["ce"], away["ce"][nearest["ce"]]),  # the setting nearest to the original's row, and its distance
        balanced=(nearest["balanced"], away["balanced"][nearest["balanced"]]),
    )
