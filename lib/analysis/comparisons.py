"""Comparisons of seeds, betas, draws and settings: tables and values."""

from collections.abc import Hashable, Mapping, Sequence
from itertools import combinations
from operator import attrgetter, itemgetter
from types import SimpleNamespace

import numpy as np
import pandas as pd

from lib.analysis.claims import Setting
from lib.analysis.claims.closing_table import distance
from lib.analysis.findings import beta_groups
from lib.analysis.statistics import Runs, accuracy, by_seed, contrasts, paired_difference, shared_seeds
from lib.analysis.tables import NOT_RUN, difference, reached, with_interval
from lib.training import Record


def compared(runs: Mapping[str, Runs], base: str) -> pd.DataFrame:
    """One row per setting: accuracy at the last epoch, and its difference to `base`, paired by seed (95 % interval)."""
    lines = {}
    for name, own in runs.items():
        gain = paired_difference(*by_seed(accuracy, own, {} if name == base else runs[base]))
        lines[name] = {
            "last epoch (%)": reached(own),
            f"difference to {base} (points)": difference(gain) if gain.pairs else "–",
            "runs": len(own),
            "pairs": "–" if name == base else gain.pairs,
        }
    return pd.DataFrame(lines).T.rename_axis("setting")


def alike(settings: Mapping[Hashable, tuple[Runs, Runs]]) -> pd.DataFrame:
    """One row per setting, {setting: (CE, balanced)}: accuracies at the last epoch, and the difference by seed."""
    lines = {}
    for name, pair in settings.items():
        ce, balanced = by_seed(accuracy, *pair)
        lines[str(name)] = {
            "CE (%)": with_interval(ce),
            "CB-Focal (%)": with_interval(balanced),
            "difference (points)": difference(paired_difference(balanced, ce)),
            "seeds": len(ce),
        }
    return pd.DataFrame(lines).T.rename_axis("setting")


def by_two(runs: Mapping[tuple, Runs], rows: str, columns: str) -> pd.DataFrame:
    """Accuracy at the last epoch of runs by two settings, {(row, column): runs by seed}."""
    cells: dict[str, dict[str, str]] = {}
    for (row, column), own in runs.items():
        cells.setdefault(f"{rows} = {row}", {})[f"{columns} {column}"] = reached(own)
    return pd.DataFrame(cells).T.rename_axis("accuracy (%)")


def draws(by_draw: Mapping[int, tuple[Runs, Runs]]) -> tuple[np.ndarray, float]:
    """Compare both losses on each draw of the subset, {subset seed: (CE, balanced)}.

    Returns:
        The gain of the balanced loss on each draw that has both, and the standard deviation of the gains that is
        expected from the seeds alone: NaN where no draw has two seeds.
    """
    gains = [np.subtract(*by_seed(accuracy, balanced, ce)) for ce, balanced in by_draw.values() if ce.keys() & balanced]
    within = [gain.var(ddof=1) for gain in gains if len(gain) > 1]
    chance = np.sqrt(np.mean(within) * np.mean([1 / len(gain) for gain in gains])) if within else np.nan
    return np.array([gain.mean() for gain in gains]), chance


def equal_settings(candidates: Mapping[Setting, tuple[Runs, Runs]], rows: tuple) -> SimpleNamespace | None:
    """Compare both losses under one setting for both, {setting: (CE, balanced)}; None without runs.

    Of the settings with the most seeds it takes the one nearest to the original's balanced row. `rows` are the
    original's, of cross-entropy and the balanced loss.
    """
    seeds = {setting: len(ce.keys() & balanced.keys()) for setting, (ce, balanced) in candidates.items()}
    ran = [setting for setting, shared in seeds.items() if shared]
    if not ran:
        return None
    to_ce, to_balanced = ({s: distance(candidates[s][i], rows[i]) for s in ran} for i in (0, 1))
    setting = max(ran, key=lambda s: (seeds[s], -to_balanced[s]))
    ce, balanced = by_seed(accuracy, *candidates[setting])
    return SimpleNamespace(
        setting=setting,
        gain=paired_difference(balanced, ce),  # at the last epoch
        ce=min(to_ce.items(), key=itemgetter(1)),  # the setting nearest to the original's row, and its distance
        balanced=min(to_balanced.items(), key=itemgetter(1)),
    )


def spread(
    betas: Sequence[float], values: np.ndarray, counts: Sequence[int], margin: float, images: int
) -> SimpleNamespace | None:
    """Compare the changes due to beta with those due to the seed, up to the original's largest beta, 0.99.

    Equivalent means that all pairs of betas are shown to differ by less than the margin: two one-sided t tests at 5 %
    (Schuirmann 1987), the same as 90 % intervals inside the margin. All pairs have to pass, so each is tested at its
    own level.

    Args:
        values: accuracies [betas, seeds, C] of one epoch each, paired by seed.
        counts: training images per class.
        margin: difference in accuracy that counts as none.
        images: of the test set.

    Returns:
        None with one seed, or one weighting.
    """
    groups = beta_groups(counts, [beta for beta in betas if beta <= 0.99])
    means = values.mean(axis=2)[[list(betas).index(group[0]) for group in groups]]  # [groups, seeds]
    if values.shape[1] < 2 or len(groups) < 2:
        return None
    differences = contrasts(means, list(combinations(range(len(means)), 2)), level=0.90, floor=1 / images)
    return SimpleNamespace(
        groups=groups,  # betas with different weights
        over_seeds=np.sqrt(means.var(axis=1, ddof=1).mean()),  # standard deviation between runs of one beta
        over_betas=means.mean(axis=1).std(ddof=1),  # and between the means of different betas
        equivalent=all(d.within(margin) for d in differences),
        largest=max(differences, key=lambda d: abs(d.mean)),
    )


def clean_choice_table(validated: Mapping[float, Runs]) -> pd.DataFrame:
    """One row per beta of the sweep with a validation split: accuracy on the split and on the test set."""
    lines = {
        f"β = {beta:g}": {
            "validation (%)": with_interval([_validation(record) for record in runs.values()]),
            "test, last epoch (%)": reached(runs),
            "test, best epoch (%)": reached(runs, "best"),
            "seeds": len(runs),
        }
        for beta, runs in validated.items()
    }
    return pd.DataFrame(lines).T.rename_axis("accuracy")


def _validation(record: Record) -> float:
    """Mean over classes at the last epoch: the split has the training set's long tail, the test set is balanced."""
    return float(np.nanmean(record.last.validation.per_class)) if record.last.validation else np.nan


def clean_choice(validated: Mapping[float, Runs], original: Sequence[float]) -> SimpleNamespace | None:
    """Choose beta on a validation split, and by the original's rule: best epoch and best beta on the test set.

    Args:
        validated: runs of one split, by beta. Those from the seeds that most betas share are used.
        original: the betas among which the original chose.

    Returns:
        None before two betas were run, and one of the original's.
    """
    most = max(validated, key=lambda beta: len(validated[beta]), default=0.0)
    _, ran = shared_seeds(validated, most) if validated else ([], [])
    among = [beta for beta in ran if beta in original]
    if len(ran) < 2 or not among:
        return None
    held_out, last, best = (
        pd.DataFrame(by_seed(value, *(validated[beta] for beta in ran)), index=ran)  # betas in rows, seeds in columns
        for value in (_validation, accuracy, attrgetter("best.test.accuracy"))
    )
    scores = held_out.mean(axis=1)
    clean, peeked = scores.idxmax(), best.loc[among].mean(axis=1).idxmax()
    split = by_seed(attrgetter("last.validation.confusion"), validated[clean])[0, 0]
    images = split.sum(axis=1)
    # Half an image is added, so that none of a thousand does not give a variance of zero.
    shares = (split.diagonal() + 0.5) / (images + 1)
    return SimpleNamespace(
        beta=clean,
        accuracies=last.loc[clean],
        images=images,  # of the split, by class
        error=np.sqrt((shares * (1 - shares) / images).sum()) / len(images),  # of its mean, from its size alone
        range=np.ptp(scores),  # of its mean over the betas
        peeked=peeked,  # the choice by the original's rule, and the accuracies that it reports
        reported=best.loc[peeked],
        gain=paired_difference(best.loc[peeked], last.loc[clean]),  # of that rule, and the part of it by the epoch
        by_epoch=best.loc[peeked].mean() - last.loc[peeked].mean(),
    )


def readings(runs: Mapping[str, Runs], original: float) -> pd.DataFrame:
    """One row per reading of the ConvNet's settings: accuracy, and its difference to the original's."""
    lines = {}
    for name, own in runs.items():
        best = [record.best.test.accuracy for record in own.values()]
        lines[name] = {
            "best epoch (%)": with_interval(best),
            "last epoch (%)": reached(own),
            "difference to the original (points)": f"{100 * (np.mean(best) - original):+.1f}" if best else NOT_RUN,
            "seeds": len(own),
        }
    return pd.DataFrame(lines).T.rename_axis("reading")
