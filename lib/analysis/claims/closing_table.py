"""Claim 9: Implied by the closing table: both losses were trained with otherwise equal settings.

Rule: A candidate setting fits the original's cross-entropy row where that lies in the prediction intervals of one more
run, and its CB-Focal row where the original's rows with the same weights do not differ from the runs by Welch's test;
both class by class and in the mean, jointly at 95 %, at the best epoch, from at least three seeds. Supported if one
candidate fits both rows, contradicted if none does; undecided while one is untested that fits as far as it was run.
"""

from types import SimpleNamespace

import numpy as np
import pandas as pd

from lib import data
from lib.analysis.claims.claim import SEVERAL, Answer, Evidence, Found, NotRun, Outcome
from lib.analysis.prose import interval, named, of_seeds
from lib.analysis.statistics import (
    Runs,
    accuracy,
    best_accuracy,
    compare,
    one_image,
    per_class,
    prediction_interval,
    welch,
)
from lib.analysis.tables import percent, reached


def distance(runs: Runs, row: np.ndarray) -> float:
    """Mean absolute difference over the classes between a row and the mean of some runs; NaN where not comparable.

    The runs are taken at their best epoch on the test set, the original's rule, which its rows follow.
    """
    mean = per_class(list(runs.values())).mean(axis=0) if runs else np.empty(0)
    return float(np.abs(mean - row).mean()) if len(mean) == len(row) else np.nan


def original_rows(evidence: Evidence) -> tuple[np.ndarray, np.ndarray]:
    """The closing table's rows, [C] each: cross-entropy, class-balanced focal loss."""
    figures = evidence.original
    return np.array(figures["cross_entropy"]), np.array(figures["class_balanced_focal"][evidence.chosen])


def _with_mean(rows: np.ndarray) -> np.ndarray:
    return np.column_stack([rows, rows.mean(axis=1)])


def misfit(runs: Runs, original: np.ndarray) -> np.ndarray | None:
    """Labels of the classes in which the original's rows [N, C] do not fit some runs; label C is their mean.

    One row is compared with the prediction intervals of one more run, several by Welch's test, all jointly at 95 %.
    Returns None for fewer than three runs.
    """
    if len(runs) < SEVERAL:
        return None
    ours, theirs = _with_mean(per_class(list(runs.values()))), _with_mean(original)
    comparisons, floor = theirs.shape[1], one_image(runs, 1)
    if len(theirs) > 1:
        found = welch(ours, theirs, comparisons, floor=floor)
        return np.flatnonzero(found.above | found.below)
    low, high = prediction_interval(ours, comparisons, floor)
    return np.flatnonzero((theirs[0] < low) | (theirs[0] > high))


def candidates(evidence: Evidence) -> pd.DataFrame:
    """One row per candidate: distances of both losses' rows to the original's, their misfits and numbers of seeds."""
    (published, chosen), alike = original_rows(evidence), evidence.replicates()
    rows = {
        setting: {
            "ce": distance(ce, published),
            "balanced": distance(balanced, chosen),
            "ce_misfit": misfit(ce, published[None]),
            "balanced_misfit": misfit(balanced, alike),
        }
        for setting, (ce, balanced) in sorted(evidence.candidates.items(), reverse=True)
    }
    return pd.DataFrame.from_dict(rows, orient="index")


def _fits(misfit: np.ndarray | None) -> bool | None:
    return None if misfit is None else not len(misfit)


def measure(evidence: Evidence) -> Found:
    ran = {setting: pair for setting, pair in evidence.candidates.items() if all(pair)}
    if not ran:
        raise NotRun("both losses under candidate settings")
    found = candidates(evidence).loc[sorted(ran, reverse=True)]
    if found[["ce", "balanced"]].isna().any(axis=None):
        raise NotRun(f"a data set with {len(evidence.original['cross_entropy'])} classes")
    fits = {row: [_fits(each) for each in found[f"{row}_misfit"]] for row in ("ce", "balanced")}
    nearest = found["balanced"].idxmin()
    ce, balanced = ran[nearest]
    names = np.array([*data.classes("cifar10"), "the mean"])
    differs = found["balanced_misfit"][nearest]
    rows, alike = per_class(list(balanced.values())), evidence.replicates()
    return Found(
        *(runs for pair in ran.values() for runs in pair),
        table=found,
        ce_fits=[setting for setting, fit in zip(found.index, fits["ce"], strict=True) if fit],
        balanced_fits=[setting for setting, fit in zip(found.index, fits["balanced"], strict=True) if fit],
        both=any(a and b for a, b in zip(*fits.values(), strict=True)),
        # Candidates that no row excludes, for lack of seeds.
        open=[s for s, a, b in zip(found.index, *fits.values(), strict=True) if None in (a, b) and False not in (a, b)],
        nearest=nearest,  # to the balanced row
        differs=None if differs is None else names[differs],
        away=welch(rows.mean(axis=1), alike.mean(axis=1)) if len(alike) > 1 else None,
        gap=compare(best_accuracy, balanced, ce),
        replicates=alike.mean(axis=1),
    )


def judge(found: Found) -> Outcome:
    return "supported" if found.both else "undecided" if found.open else "contradicted"


def explain(found: Found) -> Answer:
    nearest, ce_nearest = found.nearest, found.table["ce"].idxmin()
    away, ce_away = percent(found.table["balanced"][nearest]), percent(found.table["ce"][ce_nearest])
    ce_fits, cb_fits = (
        named(list(map(str, fits))) if fits else "no candidate" for fits in (found.ce_fits, found.balanced_fits)
    )
    said = (
        f"Of {len(found.table)} candidates, {cb_fits} fits the original's CB-Focal row and {ce_fits} its "
        "cross-entropy row. "
        f"Nearest are {nearest} to the CB-Focal row (mean distance over the classes {away} points) and {ce_nearest} "
        "to the "
        f"cross-entropy row ({ce_away} points)."
    )
    if found.open:
        said += f" With fewer than {SEVERAL} seeds, and not excluded: {named(list(map(str, found.open)))}."
    effect = ""
    if found.away and found.differs is not None:
        verdict = f"differs in {named(found.differs)}" if len(found.differs) else "is not shown to differ"
        effect = (
            f"The original's {len(found.replicates)} rows with these weights have a mean of "
            f"{percent(found.replicates.mean())} % (standard deviation {100 * found.replicates.std(ddof=1):.2f} "
            "points); the "
            f"nearest candidate is {interval(found.away)} from it and {verdict}."
        )
    return Answer(
        f"the cross-entropy row fits {ce_fits}, the CB-Focal row {cb_fits} (nearest: {nearest})",
        said,
        effect,
        f"With {nearest} for both losses CB-Focal minus cross-entropy is {interval(found.gap)} "
        f"({of_seeds(found.gap)}; best "
        "epoch): the closing table compares settings, not losses."
        if not found.both and not found.open
        else "",
    )


def table(evidence: Evidence) -> pd.DataFrame:
    """One row per candidate: accuracy of both losses, their distances (points) to the original's rows, and the fit."""
    rows: dict[str, dict[str, str]] = {}
    for setting, found in candidates(evidence).iterrows():
        row = rows[str(setting)] = {}
        for name, short, runs in zip(("CE", "CB-Focal"), ("ce", "balanced"), evidence.candidates[setting], strict=True):
            row[f"{name} (%)"] = reached(runs, best_accuracy)
            row[f"{name}: distance"] = percent(found[short])
            fits = _fits(found[f"{short}_misfit"])
            row[f"{name}: fits"] = "–" if fits is None else "yes" if fits else "no"
        row["seeds"] = ", ".join(dict.fromkeys(str(len(runs)) for runs in evidence.candidates[setting]))
    return pd.DataFrame(rows).T.rename_axis("settings")


def equal_settings(evidence: Evidence) -> SimpleNamespace | None:
    """Compare both losses under the candidate nearest to the original's balanced row; None without runs."""
    found = candidates(evidence)
    ran = [setting for setting, pair in evidence.candidates.items() if all(pair)]
    if not ran:
        return None
    balanced, ce = (min(ran, key=found[row].get) for row in ("balanced", "ce"))
    rows, pair = [float(row.mean()) for row in original_rows(evidence)], evidence.candidates[balanced]
    return SimpleNamespace(
        setting=balanced,
        gain=compare(accuracy, pair[1], pair[0]),  # at the last epoch
        rows=rows,  # the original's means over the classes: cross-entropy, CB-Focal
        original=rows[1] - rows[0],
        ce=(ce, found["ce"][ce]),  # the setting nearest to the original's row, and its distance
        balanced=(balanced, found["balanced"][balanced]),
    )
