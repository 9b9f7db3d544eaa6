"""Claim 9: the settings of the closing table's two rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from lib.analysis.claims.claim import SEVERAL, Claim, Outcome
from lib.analysis.claims.evidence import Evidence, NotRun, Runs, Setting, by_seed, records_of
from lib.analysis.statistics import prediction_interval
from lib.analysis.tables import percent, with_interval
from lib.training import Record


def best_row(record: Record) -> np.ndarray:
    """Accuracy by class at the best epoch, the original's rule, which its rows follow."""
    return record.best.test.per_class


def distance(runs: Runs, row: Sequence[float] | np.ndarray) -> float:
    """Mean absolute difference over the classes between the mean of some runs and a row; NaN where not comparable."""
    if not runs:
        return float("nan")
    mean = by_seed(best_row, runs)[0].mean(axis=0)
    return float(np.abs(mean - np.asarray(row)).mean()) if len(mean) == len(row) else float("nan")


def noise(runs: Runs) -> float:
    """Largest distance of one run to the mean of the others; NaN for fewer than three."""
    if len(runs) < SEVERAL:
        return float("nan")
    return max(distance({s: r for s, r in runs.items() if s != seed}, best_row(runs[seed])) for seed in runs)


def original_rows(evidence: Evidence) -> tuple[Sequence[float], Sequence[float]]:
    """The closing table's rows: cross-entropy, class-balanced focal loss."""
    return evidence.original["cross_entropy"], evidence.original["class_balanced_focal"][evidence.chosen]


@dataclass(frozen=True)
class Found:
    to_ce: Mapping[Setting, float]  # distances to the original's cross-entropy row
    to_balanced: Mapping[Setting, float]
    possible: Sequence[Setting]  # settings that the original's balanced row may come from
    noise: Mapping[Setting, float]  # of cross-entropy's row under the possible settings
    accuracies: np.ndarray  # of cross-entropy under the setting nearest to the balanced row
    original: float  # accuracy of the original's cross-entropy row


def measure(evidence: Evidence) -> tuple[Found, list[Record]]:
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
        return max(known, default=float("nan")) if np.isnan(own) else own

    nearest = min(to_balanced, key=to_balanced.__getitem__)
    reach = to_balanced[nearest] + (level(candidates[nearest][1]) if known else 0.0)
    possible = [setting for setting, away in to_balanced.items() if away <= reach]
    found = Found(
        to_ce=to_ce,
        to_balanced=to_balanced,
        possible=possible,
        noise={setting: level(candidates[setting][0]) for setting in possible},
        accuracies=by_seed(lambda record: record.best.test.accuracy, candidates[nearest][0])[0],
        original=float(np.mean(ce_row)),
    )
    return found, records_of(*(runs for pair in candidates.values() for runs in pair))


def judge(found: Found) -> Outcome:
    if any(found.to_ce[s] <= found.noise[s] for s in found.possible):
        return "supported"
    return "contradicted" if all(found.to_ce[s] > 2 * found.noise[s] for s in found.possible) else "undecided"


def explain(found: Found) -> tuple[str, str]:
    nearest = min(found.to_balanced, key=found.to_balanced.__getitem__)
    ce_nearest = min(found.to_ce, key=found.to_ce.__getitem__)
    away, ce_away = percent(found.to_balanced[nearest]), percent(found.to_ce[ce_nearest])
    others = " and ".join(str(s) for s in found.possible if s != nearest)
    low, high = prediction_interval(found.accuracies)
    predicted = "" if np.isnan(low) else f" (95 % prediction interval {percent(low)} to {percent(high)} %)"
    levels = found.noise.items()
    said = (
        f"The original's CB-Focal row is nearest to {nearest} (mean distance over the classes: {away} points)"
        + (f"; within the noise also: {others}" if others else "")
        + f". Cross-entropy with {nearest} has {with_interval(found.accuracies.tolist())} %{predicted}; "
        f"the original states {percent(found.original)} %. The original's cross-entropy row is "
        + "; ".join(f"{percent(found.to_ce[s])} points from that of {s} ({_noise(level)})" for s, level in levels)
        + f". It is nearest to {ce_nearest}: {ce_away} points."
    )
    return said, (
        f"the cross-entropy row is nearest to {ce_nearest} (mean distance {ce_away} points), the CB-Focal row to "
        f"{nearest} ({away})"
    )


def _noise(level: float) -> str:
    return "noise unknown: no setting has three runs" if np.isnan(level) else f"noise {percent(level)}"


STATEMENT = "Implied by the closing table: both losses were trained with otherwise equal settings."
RULE = (
    "The noise of a row is the largest distance of a run to the mean of its setting's other runs (with fewer than "
    "three runs, the largest of all settings). A setting is possible if its CB-Focal row is, within that noise, as "
    "near to the original's CB-Focal row as the nearest one. Supported if cross-entropy's mean row under a possible "
    "setting is within the noise of the original's, contradicted if under all of them it is farther than twice the "
    "noise; undecided before all candidates are run."
)
CLAIM = Claim(9, STATEMENT, RULE, measure, judge, explain)


def distances(evidence: Evidence) -> pd.DataFrame:
    """One row per candidate: accuracy of both losses, and their distances (points) to the original's rows."""
    rows = {}
    for setting, pair in sorted(evidence.candidates.items(), reverse=True):
        row: dict[str, str | int] = {}
        for name, runs, original in zip(("CE", "CB-Focal"), pair, original_rows(evidence), strict=True):
            away = distance(runs, original)
            row[f"{name} (%)"] = (
                with_interval([record.best.test.accuracy for record in runs.values()]) if runs else "not run yet"
            )
            row[f"{name}: distance"] = "–" if np.isnan(away) else percent(away)
            row[f"{name}: seeds"] = len(runs)
        rows[str(setting)] = row
    return pd.DataFrame(rows).T.rename_axis("settings")
