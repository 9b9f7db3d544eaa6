"""Claim 9: Implied by the closing table: both losses were trained with otherwise equal settings.

Rule: A candidate setting fits the original's cross-entropy row where that lies in the prediction intervals of one more
run, and its CB-Focal row where the original's rows with the same weights do not differ from the runs by Welch's test;
both in the mean and class by class, jointly at 95 % for the two rows, at the best epoch, from at least three seeds.
To fit, a row has to lie within five points of the runs on average over the classes, too, and cross-entropy's needs the
batch size that the original states for it. Supported if a candidate fits both rows, contradicted if each is excluded by
one of them; else undecided.
"""

import numpy as np
import pandas as pd

from lib import data
from lib.analysis import statistics as stats
from lib.analysis.claims.claim import SEVERAL, Answer, Evidence, Found, NotRun, Outcome
from lib.analysis.prose import interval, named, of_seeds
from lib.analysis.tables import percent, reached

LOSSES = ("CE", "CB-Focal")
CLOSE = 0.05  # `distance` from which a row does not fit, though runs are too few to exclude it


def original_rows(evidence: Evidence) -> tuple[np.ndarray, np.ndarray]:
    """The closing table's rows, [C] each: cross-entropy, class-balanced focal loss."""
    figures = evidence.original
    return np.array(figures["cross_entropy"]), np.array(figures["class_balanced_focal"][evidence.chosen])


def distance(runs: stats.Runs, row: np.ndarray) -> float:
    """Mean absolute difference over the classes of a row and the mean of some runs' best epochs; NaN without either."""
    return float(np.abs(stats.per_class(list(runs.values())).mean(axis=0) - row).mean()) if runs else np.nan


def misfit(runs: stats.Runs, original: np.ndarray) -> np.ndarray | None:
    """Labels of the classes in which the original's rows [N, C] do not fit some runs; label C is their mean.

    One row is compared with the prediction intervals of one more run, several by Welch's test. The intervals hold
    together at 95 % for both losses: of each half of the error one half goes to the mean, one to the classes. Returns
    None for fewer than three runs, or where the original has no row.
    """
    if len(runs) < SEVERAL or np.isnan(original).any():
        return None
    rows = stats.per_class(list(runs.values())), original
    ours, theirs = (np.column_stack([each, each.mean(axis=1)]) for each in rows)
    comparisons, floor = np.array([4 * (theirs.shape[1] - 1)] * (theirs.shape[1] - 1) + [4]), stats.one_image(runs, 1)
    if len(theirs) > 1:
        found = stats.welch(ours, theirs, comparisons, floor=floor)
        return np.flatnonzero(found.above | found.below)
    low, high = stats.prediction_interval(ours, comparisons, floor)
    return np.flatnonzero((theirs[0] < low) | (theirs[0] > high))


def by_candidate(evidence: Evidence) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Return `distance`, `misfit`, and True for a fit or None if unknown, by candidate (rows) and loss (columns)."""
    ce, balanced = original_rows(evidence)
    away, differing, fits = {}, {}, {}
    for setting, pair in evidence.candidates.items():
        away[setting] = list(map(distance, pair, (ce, balanced)))
        differing[setting] = list(map(misfit, pair, (ce[None], evidence.replicates())))
        both = zip(differing[setting], away[setting], strict=True)
        fits[setting] = [None if out is None or (far >= CLOSE and not len(out)) else not len(out) for out, far in both]
        if setting.batch_size != evidence.original["cross_entropy_batch_size"]:
            fits[setting][0] = False
    away, differing, fits = (pd.DataFrame(found, index=LOSSES, dtype=object).T for found in (away, differing, fits))
    return away.astype(float), differing, fits


def measure(evidence: Evidence) -> Found:
    ran = [setting for setting, pair in evidence.candidates.items() if all(pair)]
    if not ran:
        raise NotRun("both losses under candidate settings")
    away, differing, fits = by_candidate(evidence)
    if (away := away.loc[ran]).isna().any(axis=None):
        raise NotRun("the data set of the original")
    nearest = away["CB-Focal"].idxmin()
    differs, alike = differing["CB-Focal"][nearest], evidence.replicates().mean(axis=1)
    ce, balanced = evidence.candidates[nearest]
    return Found(
        *(runs for pair in evidence.candidates.values() for runs in pair),
        asked=len(evidence.candidates),
        distances=away,
        fits={loss: [str(setting) for setting in fits.index if fits[loss][setting]] for loss in LOSSES},
        both=any(all(fits.loc[setting]) for setting in fits.index),
        # Candidates that no row excludes, without a fit to both.
        open=[str(s) for s in fits.index if None in [*fits.loc[s]] and False not in [*fits.loc[s]]],
        nearest=nearest,  # to the balanced row
        differs=None if differs is None else np.array([*data.classes("cifar10"), "the mean"])[differs],
        away=stats.welch(stats.values(stats.best_accuracy, balanced), alike),
        gap=stats.compare(stats.best_accuracy, balanced, ce),
        published=np.subtract(*(row.mean() for row in reversed(original_rows(evidence)))),
        replicates=alike,
    )


def judge(found: Found) -> Outcome:
    return "supported" if found.both else "undecided" if found.open else "contradicted"


def explain(found: Found) -> Answer:
    nearest = {loss: found.distances[loss].idxmin() for loss in LOSSES}
    away = {loss: f"{percent(found.distances[loss].min())} points" for loss in LOSSES}
    ce, balanced = ("; ".join(found.fits[loss]) or "none" for loss in LOSSES)
    said = (
        f"Candidates that fit, of {found.asked}: {balanced} for the original's CB-Focal row, {ce} for its "
        f"cross-entropy row. Nearest are {nearest['CB-Focal']} to the CB-Focal row (mean distance over the classes "
        f"{away['CB-Focal']}) and {nearest['CE']} to the cross-entropy row ({away['CE']})."
    )
    if found.open:
        said += f" Neither excluded nor shown to fit, for lack of runs: {'; '.join(found.open)}."
    effect = ""
    if len(found.replicates) > 1 and found.differs is not None:
        spread = f"{100 * found.replicates.std(ddof=1):.2f} points"
        effect = (
            f"The original's {len(found.replicates)} rows with these weights have a mean of "
            f"{percent(found.replicates.mean())} % (standard deviation {spread}). The nearest candidate is "
            f"{interval(found.away)} from it; classes that differ: {named(found.differs)}."
        )
    return Answer(
        f"candidates that fit the cross-entropy row: {ce}; the CB-Focal row: {balanced}"
        + ("" if str(found.nearest) in found.fits["CB-Focal"] else f" (nearest: {found.nearest})"),
        said,
        effect,
        f"With {found.nearest} for both losses CB-Focal minus cross-entropy is {interval(found.gap)} "
        f"({of_seeds(found.gap)}; best epoch); the closing table has {100 * found.published:+.1f}.",
    )


def table(evidence: Evidence) -> pd.DataFrame:
    """One row per candidate: accuracy of both losses, their distances (points) to the original's rows, and the fit."""
    away, _, fits = by_candidate(evidence)
    rows: dict[str, dict[str, str]] = {}
    for setting, pair in evidence.candidates.items():
        row = rows[str(setting)] = {}
        for loss, runs in zip(LOSSES, pair, strict=True):
            fit = fits[loss][setting]
            row[f"{loss} (%)"] = reached(runs, stats.best_accuracy)
            row[f"{loss}: distance"] = percent(away[loss][setting])
            row[f"{loss}: fits"] = "–" if fit is None else "yes" if fit else "no"
        row["seeds"] = ", ".join(dict.fromkeys(str(len(runs)) for runs in pair))
    return pd.DataFrame(rows).T.rename_axis("settings")
