"""Comparisons of seeds, betas, draws and settings: values, and sentences where a decision picks the words."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from lib.analysis.betas import beta_groups
from lib.analysis.claims import Runs, Setting
from lib.analysis.claims.claim import spans
from lib.analysis.claims.closing_table import distance
from lib.analysis.claims.evidence import accuracy, by_seed, shared_seeds
from lib.analysis.prose import points, seeds_in_words
from lib.analysis.statistics import Difference, counting_variance, equivalent, paired_difference, prediction_interval
from lib.analysis.tables import difference, percent, with_interval
from lib.training import Record


def spread(betas: Sequence[float], values: np.ndarray, per_class: Sequence[int], margin: float, images: int) -> str:
    """Compare the changes due to beta with those due to the seed, up to the original's largest beta, 0.99.

    Args:
        values: accuracies [betas, seeds, C] of one epoch each, fractions; paired by seed.
        per_class: training images per class.
        margin: difference in accuracy that counts as none.
        images: of the test set.
    """
    groups = [[beta for beta in group if beta <= 0.99] for group in beta_groups(per_class, betas)]
    groups = [group for group in groups if group]
    means = values.mean(axis=2)[[list(betas).index(group[0]) for group in groups]]  # [groups, seeds]
    n = values.shape[1]
    if n < 2 or len(groups) < 2:
        return "With one seed, or one β, the spread over seeds cannot be compared with that over β."
    over_seeds, over_betas = np.sqrt(means.var(axis=1, ddof=1).mean()), means.mean(axis=1).std(ddof=1)
    alike, largest = equivalent(means, margin, floor=1 / images)
    return (
        f"Up to β = 0.99 there are {len(groups)} different weightings ({spans(groups)}). Standard deviations of the "
        f"accuracy: {100 * over_seeds:.2f} points between runs of one β that differ in the seed alone, hence "
        f"{100 * over_seeds / np.sqrt(n):.2f} for means of {n} runs; {100 * over_betas:.2f} between the means of "
        f"different β. **Equivalence** within ±{100 * margin:g} points for every pair (two one-sided t tests at 5 %, "
        f"the margin fixed beforehand): {'shown' if alike else 'not shown'}. The largest difference is "
        f"{difference(largest)} points (90 % interval)."
    )


def clean_choice_table(validated: Mapping[float, Runs]) -> pd.DataFrame:
    """One row per beta of the sweep with a validation split: accuracy on the split and on the test set."""
    rows = {}
    for beta, runs in validated.items():
        columns = {
            "validation (%)": [_validation(r) for r in runs.values()],
            "test, last epoch (%)": [r.last.test.accuracy for r in runs.values()],
            "test, best epoch (%)": [r.best.test.accuracy for r in runs.values()],
        }
        rows[f"β = {beta:g}"] = {
            **{name: with_interval(values) if values else "not run yet" for name, values in columns.items()},
            "seeds": len(runs),
        }
    return pd.DataFrame(rows).T.rename_axis("accuracy")


def _validation(record: Record) -> float:
    """Mean over classes at the last epoch: the split has the training set's long tail, the test set is balanced."""
    return float(np.nanmean(record.last.validation.per_class)) if record.last.validation else float("nan")


def clean_choice(validated: Mapping[float, Runs], original: Sequence[float]) -> str:
    """Choose beta on a validation split, and compare with the choice on the test set.

    Args:
        validated: runs of one split, by beta. Those from the seeds that most betas share are used.
        original: the betas among which the original chose.
    """
    most = max(validated, key=lambda beta: len(validated[beta]), default=0.0)
    seeds, ran = shared_seeds(validated, most) if validated else ([], [])
    if len(ran) < 2:
        return "**Not run yet:** the sweep with a validation split."
    runs = {beta: [by[s] for s in seeds] for beta, by in validated.items() if beta in ran}
    on_validation = {beta: float(np.mean([_validation(r) for r in found])) for beta, found in runs.items()}
    clean = max(on_validation, key=on_validation.__getitem__)
    text = _resolution(runs[clean][0], list(on_validation.values())) + (
        f" It chooses **β = {clean:g}**, which has {with_interval([r.last.test.accuracy for r in runs[clean]])} % on "
        f"the test set at the last epoch ({seeds_in_words(len(seeds))})."
    )
    on_test = {beta: np.mean([r.best.test.accuracy for r in runs[beta]]) for beta in runs if beta in original}
    if not on_test:
        return text
    peeked = max(on_test, key=on_test.__getitem__)
    flattered, last = ([getattr(r, epoch).test.accuracy for r in runs[peeked]] for epoch in ("best", "last"))
    gain = paired_difference(flattered, [r.last.test.accuracy for r in runs[clean]])
    by_epoch = np.mean(flattered) - np.mean(last)
    return (
        f"{text} The original rule on the same runs (best epoch, and the best of the original's β, on the test set) "
        f"chooses β = {peeked:g} and reports {with_interval(flattered)} %. Choosing on the test set raises the "
        f"reported accuracy by {difference(gain)} points, of which {100 * by_epoch:+.1f} by the choice of the epoch."
    )


def _resolution(run: Record, scores: Sequence[float]) -> str:
    """The standard error that a validation split of that size has, beside the differences between betas."""
    confusion = np.asarray(run.last.validation.confusion if run.last.validation else [])
    images = confusion.sum(axis=1)
    shares = confusion.diagonal() / np.maximum(images, 1)
    error = np.sqrt(sum(counting_variance(share, int(n)) for share, n in zip(shares, images, strict=True)))
    return (
        f"With {percent(run.experiment.validation)} % of every class held out the validation split has "
        f"{images.max()} images of the most frequent class and {images.min()} of the rarest: its mean over classes "
        f"has a standard error of {100 * error / len(images):.1f} points from its size alone; the range over β is "
        f"{100 * np.ptp(scores):.1f}."
    )


def likeliest_reading(runs: Mapping[str, Runs], original: float) -> str:
    """Name the readings of the ConvNet's settings that agree with the original's accuracy."""
    ran = {name: [r.best.test.accuracy for r in found.values()] for name, found in runs.items() if found}
    if not ran:
        return "**Not run yet:** the readings of the ConvNet's settings."
    away = {name: float(np.mean(reached)) - original for name, reached in ran.items()}
    intervals = {name: prediction_interval(reached) for name, reached in ran.items()}
    holding = [name for name, (low, high) in intervals.items() if low <= original <= high]
    text = ""
    if stated := ran.get("as stated"):
        low, high = intervals["as stated"]
        text = f"The settings as stated end {points(away['as stated'])} the original's {percent(original)} %"
        if "as stated" in holding:
            return (
                f"{text}, which lies within their 95 % prediction interval ({percent(low)} to {percent(high)} %, "
                f"{len(stated)} seeds): no other reading is needed."
            )
        text += ". "
    if len(ran) == 1:
        return text + "No other reading has been run."
    nearest = min(away, key=lambda name: abs(away[name]))
    missing = [name for name in runs if name not in ran]
    return (
        f"{text}Of {len(ran)} readings the nearest is **{nearest}** ({points(away[nearest])} it); the "
        f"prediction interval contains the original's accuracy for {', '.join(holding) or 'none with several runs'}."
        + (f" Not run yet: {', '.join(missing)}." if missing else "")
        + " This names the likeliest reading; nothing in the rest of the report is tuned by it."
    )


@dataclass(frozen=True)
class Alike:
    """Both losses under one setting, and the settings that the original's closing table is nearest to."""

    setting: Setting
    gain: Difference  # balanced less cross-entropy at the last epoch, paired by seed
    ce: tuple[Setting, float]  # nearest to the cross-entropy row, and its distance
    balanced: tuple[Setting, float]


def alike(candidates: Mapping[Setting, tuple[Runs, Runs]], rows: tuple[Sequence, Sequence]) -> Alike | None:
    """Compare both losses under equal settings; None without runs.

    Of the settings with the most seeds it takes the one nearest to the original's balanced row. `rows` are the
    original's, of cross-entropy and the balanced loss.
    """
    pairs = {setting: len(ce.keys() & balanced.keys()) for setting, (ce, balanced) in candidates.items()}
    pairs = {setting: shared for setting, shared in pairs.items() if shared}
    if not pairs:
        return None
    to_ce, to_balanced = ({s: distance(candidates[s][i], rows[i]) for s in pairs} for i in (0, 1))
    setting = max(pairs, key=lambda s: (pairs[s], -to_balanced[s]))
    ce, balanced = by_seed(accuracy, *candidates[setting])
    nearest = (min(distances.items(), key=lambda item: item[1]) for distances in (to_ce, to_balanced))
    return Alike(setting, paired_difference(balanced, ce), *nearest)


@dataclass(frozen=True)
class Draws:
    """Gains of one loss over another by draw of the subset, and the deviation expected from the seeds alone."""

    gains: np.ndarray
    chance: float | None  # None where no draw has two seeds


def draws(by_draw: Mapping[int, tuple[Runs, Runs]]) -> Draws | None:
    """Compare both losses on each draw, {subset seed: (CE, balanced)}; None for fewer than two draws."""
    gains = [np.subtract(*by_seed(accuracy, balanced, ce)) for ce, balanced in by_draw.values() if ce.keys() & balanced]
    if len(gains) < 2:
        return None
    within = [gain.var(ddof=1) for gain in gains if len(gain) > 1]
    chance = np.sqrt(np.mean(within) * np.mean([1 / len(gain) for gain in gains])) if within else None
    return Draws(np.array([gain.mean() for gain in gains]), chance)
