"""Claim 9: Implied by the closing table: both losses were trained with otherwise equal settings.

Rule: A candidate setting fits the original's cross-entropy row where that lies in the prediction intervals of one more
run, and its CB-Focal row where the original's rows with the same weights do not differ from the runs by Welch's test;
both in the mean and class by class, jointly at 95 % for the two rows, at the best epoch, from at least three seeds.
Supported if a candidate that was run fits both rows, contradicted if none does; undecided while one that may fit has
fewer seeds.
"""

from types import SimpleNamespace

import numpy as np
import pandas as pd

from lib import data
from lib.analysis import statistics as stats
from lib.analysis.claims.claim import SEVERAL, Answer, Evidence, Found, NotRun, Outcome
from lib.analysis.prose import interval, named, of_seeds
from lib.analysis.tables import percent, reached
from lib.system.errors import UserError

LOSSES = ("CE", "CB-Focal")


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
    away, differing = {}, {}
    for setting, pair in evidence.candidates.items():
        away[setting] = list(map(distance, pair, (ce, balanced)))
        differing[setting] = list(map(misfit, pair, (ce[None], evidence.replicates())))
    away, differing = (pd.DataFrame(found, index=LOSSES).T for found in (away, differing))
    return away.astype(float), differing, differing.map(lambda labels: None if labels is None else not len(labels))


def measure(evidence: Evidence) -> Found:
    ran = {setting: pair for setting, pair in evidence.candidates.items() if all(pair)}
    if not ran:
        raise NotRun("both losses under candidate settings")
    away, differing, fits = (found.loc[list(ran)] for found in by_candidate(evidence))
    if away.isna().any(axis=None):
        raise NotRun("the data set of the original")
    nearest = away["CB-Focal"].idxmin()
    differs, alike = differing["CB-Focal"][nearest], evidence.replicates().mean(axis=1)
    ce, balanced = ran[nearest]
    return Found(
        *(runs for pair in ran.values() for runs in pair),
        distances=away,
        fits={loss: [str(setting) for setting in fits.index if fits[loss][setting]] for loss in LOSSES},
        both=any(all(fits.loc[setting]) for setting in fits.index),
        # Candidates that no row excludes, for lack of seeds.
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
    ce, balanced = ("; ".join(found.fits[loss]) or "no candidate" for loss in LOSSES)
    said = (
        f"Candidates that fit, of {len(found.distances)}: {balanced} for the original's CB-Focal row, {ce} for its "
        f"cross-entropy row. Nearest are {nearest['CB-Focal']} to the CB-Focal row (mean distance over the classes "
        f"{away['CB-Focal']}) and {nearest['CE']} to the cross-entropy row ({away['CE']})."
    )
    if found.open:
        said += f" With fewer than {SEVERAL} seeds, and not excluded: {'; '.join(found.open)}."
    effect = ""
    if len(found.replicates) > 1 and found.differs is not None:
        spread = f"{100 * found.replicates.std(ddof=1):.2f} points"
        effect = (
            f"The original's {len(found.replicates)} rows with these weights have a mean of "
            f"{percent(found.replicates.mean())} % (standard deviation {spread}). The nearest candidate is "
            f"{interval(found.away)} from it; classes that differ: {named(found.differs)}."
        )
    return Answer(
        f"the cross-entropy row fits {ce}, the CB-Focal row {balanced}"
        + ("" if str(found.nearest) in found.fits["CB-Focal"] else f" (nearest: {found.nearest})"),
        said,
        effect,
        f"With {found.nearest} for both losses CB-Focal minus cross-entropy is {interval(found.gap)} "
        f"({of_seeds(found.gap)}; best epoch); the closing table has {100 * found.published:+.1f}.",
    )


def panels(evidence: Evidence) -> dict[str, dict[str, np.ndarray]]:
    """Accuracies [seeds, C] at the best epoch by candidate and loss; a candidate's name says which rows fit it."""
    found: dict[str, dict[str, np.ndarray]] = {}
    *_, fits = by_candidate(evidence)
    for setting, pair in evidence.candidates.items():
        fitting = [loss for loss in LOSSES if not evidence.departure and fits[loss][setting]]
        name = f"{setting}\nfits {' and '.join(fitting)}" if fitting else str(setting)
        found[name] = {loss: stats.per_class(list(runs.values())) for loss, runs in zip(LOSSES, pair, strict=True)}
    return found


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


def equal_settings(evidence: Evidence) -> SimpleNamespace:
    """Compare both losses under one setting: of those with the most seeds, the nearest to the original's balanced row.

    Raises UserError where no candidate has runs of both losses.
    """
    ran = {setting: pair for setting, pair in evidence.candidates.items() if all(pair)}
    if not ran:
        raise UserError("No candidate has runs of both losses. Train them with the parameter runs=train.")
    away = by_candidate(evidence)[0].loc[list(ran)].fillna(np.inf)
    ce, balanced = (away[loss].idxmin() for loss in LOSSES)
    setting = max(ran, key=lambda each: (min(map(len, ran[each])), -away["CB-Focal"][each]))
    rows, pair = [float(row.mean()) for row in original_rows(evidence)], ran[setting][::-1]
    return SimpleNamespace(
        setting=setting,
        gain=stats.compare(stats.accuracy, *pair),  # at the last epoch
        predicted=stats.compare(stats.best_accuracy, *pair, one_more=True),  # of one more pair, at the best epoch
        rows=rows,  # the original's means over the classes: cross-entropy, CB-Focal
        original=rows[1] - rows[0],
        ce=(ce, away["CE"][ce]),  # the setting nearest to the original's row, and its distance
        balanced=(balanced, away["CB-Focal"][balanced]),
    )
