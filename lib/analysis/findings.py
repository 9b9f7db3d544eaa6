"""Values that the notebooks' sentences state: of class weights, confusion matrices, the beta sweep, draws."""

from collections.abc import Mapping, Sequence
from itertools import combinations
from types import SimpleNamespace

import numpy as np
import pandas as pd

from lib.analysis import statistics as stats
from lib.losses import class_balanced_weights
from lib.system.errors import UserError
from lib.training import Record


def weight_ratio(counts: Sequence[int], beta: float) -> float:
    """Return the largest class weight over the smallest."""
    weights = class_balanced_weights(counts, beta)
    return float(weights.max() / weights.min())


def neutral_betas(counts: Sequence[int], betas: Sequence[float]) -> list[float]:
    """Betas whose class weights are all exactly 1 in float32, one computation: to about 0.7 for 50 images and more."""
    return [beta for beta in betas if bool((class_balanced_weights(counts, beta) == 1).all())]


def weightings(counts: Sequence[int], betas: Sequence[float]) -> dict[str, list[float]]:
    """Group ascending betas whose weights are exactly equal, under a name as "0 … 0.7"; most stand alone."""
    same = neutral_betas(counts, betas)
    groups = ([same] if same else []) + [[beta] for beta in betas if beta not in same]
    return {f"{g[0]:g}" if len(g) == 1 else f"{g[0]:g} … {g[-1]:g}": g for g in groups}


def beta_groups(counts: Sequence[int], betas: Sequence[float]) -> list[list[float]]:
    """Ascending betas, grouped where weights are the first one's to a thousandth: no run could tell them apart."""
    found: list[list[float]] = []
    for beta in sorted(betas):
        weights = class_balanced_weights(counts, beta)
        if found and ((weights / class_balanced_weights(counts, found[-1][0]) - 1).abs() <= 1e-3).all():
            found[-1].append(beta)
        else:
            found.append([beta])
    return found


def treatments(
    by_beta: Mapping[float, stats.Runs], counts: Sequence[int], prefer: float | None = None
) -> dict[tuple[float, ...], stats.Runs]:
    """Group betas as `beta_groups`, each with the runs of one of its betas: most seeds, then `prefer`, then first."""
    groups = [tuple(group) for group in beta_groups(counts, list(by_beta))]
    return {group: by_beta[max(group, key=lambda beta: (len(by_beta[beta]), beta == prefer))] for group in groups}


def confused(matrix: np.ndarray, most: int = 3) -> list[tuple[int, int, int]]:
    """Return the most frequent mistakes of a confusion matrix [C, C] as (true class, predicted class, images)."""
    off = matrix - np.diag(matrix.diagonal())
    order = np.argsort(off, axis=None)[::-1][:most]
    return [(int(y), int(p), int(off[y, p])) for y, p in zip(*np.unravel_index(order, off.shape), strict=True)]


def prior(matrix: np.ndarray, counts: Sequence[int]) -> SimpleNamespace:
    """Compare the more frequent half of the classes with the rarer one, on a balanced test set; shares are fractions.

    `matrix` is the confusion matrix [C, C] of a model that was trained on so many images per class.
    """
    images, accuracy = np.asarray(counts), matrix.diagonal() / matrix.sum(axis=1)
    frequent, rare = np.split(np.argsort(-images, kind="stable"), [len(images) // 2])
    predicted = matrix.sum(axis=0) / matrix.sum()
    by_class = pd.DataFrame({"images": images, "accuracy": accuracy})
    return SimpleNamespace(
        frequent=len(frequent),  # classes in the more frequent half
        rare=len(rare),
        images=images[frequent].sum() / images.sum(),  # training images in frequent classes
        predictions=predicted[frequent].sum(),  # predictions of a frequent class
        rare_as_frequent=matrix[np.ix_(rare, frequent)].sum() / matrix[rare].sum(),  # of the rare classes' test images
        frequent_as_rare=matrix[np.ix_(frequent, rare)].sum() / matrix[frequent].sum(),
        favourite=int(predicted.argmax()),  # the most frequent prediction
        favourite_share=predicted.max(),
        rank=by_class.corr("spearman").iloc[0, 1],  # of images and accuracy over the classes; NaN without spread
    )


def gain_at_best(treatments: Mapping[str, stats.Runs], ce: stats.Runs, fresh: Sequence[int] = ()) -> SimpleNamespace:
    """Compare the betas of the highest mean accuracy at the last epoch with cross-entropy and with the others.

    `treatments` are runs by betas of equal weights, the unweighted ones first. The choice is made on the seeds that are
    not `fresh`; the gain is that of all seeds, with an interval that is corrected for the choice (Bonferroni), and that
    of the fresh seeds alone. Raises UserError without cross-entropy or a treatment.
    """
    least = min(2, max(map(len, treatments.values()), default=0))  # one lucky run is not the best of several
    ran = {name: runs for name, runs in treatments.items() if len(runs) >= least}
    if not least or not ce:
        raise UserError("There is no run of cross-entropy, or none of the balanced loss. Train them with runs=train.")

    def among(runs: stats.Runs, wanted: bool) -> stats.Runs:
        return {seed: record for seed, record in runs.items() if (seed in fresh) == wanted}

    mean = {name: stats.values(stats.accuracy, among(runs, False) or runs).mean() for name, runs in ran.items()}
    best, unweighted = max(mean, key=lambda name: mean[name]), next(iter(ran))
    classes = len(next(iter(ce.values())).counts)
    floor, others = stats.one_image(ce), [name for name in ran if name != best]
    against = {name: stats.compare(stats.accuracy, ran[best], ran[name], len(others), floor=floor) for name in others}
    return SimpleNamespace(
        best=best,
        gain=stats.compare(stats.accuracy, ran[best], ce, len(ran), floor=floor),
        again=stats.compare(stats.accuracy, among(ran[best], True), among(ce, True), floor=floor),
        treatments=len(ran),
        level=[name for name in others if not against[name].above],  # not told apart from the best
        matters=best != unweighted and bool(against[unweighted].above),  # the gain is also over the unweighted loss
        classes=stats.compare(stats.class_accuracies, ran[best], ce, classes, floor=stats.one_image(ce, 1)),  # together
    )


def spread(by_beta: Mapping[float, stats.Runs], counts: Sequence[int], margin: float) -> SimpleNamespace | None:
    """Compare the changes due to beta with those due to the seed, up to the original's largest beta, 0.99.

    Equivalent means that all pairs of betas with different weights are shown to differ by less than `margin` in
    accuracy at the last epoch: two one-sided t tests at 5 % (Schuirmann 1987), the same as 90 % intervals inside the
    margin. All pairs have to pass, so each is tested at its own level. Returns None with one seed, or one weighting.
    """
    ran = treatments({beta: runs for beta, runs in by_beta.items() if beta <= 0.99 and len(runs) > 1}, counts)
    if len(ran) < 2:
        return None
    rows = [stats.values(stats.accuracy, runs) for runs in ran.values()]
    floor = stats.one_image(next(iter(ran.values())))
    differences = [stats.welch(a, b, level=0.90, floor=floor) for a, b in combinations(rows, 2)]
    return SimpleNamespace(
        groups=[*map(list, ran)],  # betas with different weights
        seeds=[*map(len, rows)],
        over_seeds=np.sqrt(np.mean([row.var(ddof=1) for row in rows])),  # standard deviation between runs of one beta
        over_betas=np.std([row.mean() for row in rows], ddof=1),  # and between the means of different betas
        equivalent=all(d.within(margin) for d in differences),
        largest=max(differences, key=lambda d: abs(d.mean)),
    )


def validation_accuracy(record: Record) -> float:
    """Mean over classes at the last epoch: the split has the training set's long tail, the test set is balanced."""
    return float(np.nanmean(record.last.validation.per_class)) if record.last.validation else np.nan


def clean_choice(validated: Mapping[float, stats.Runs], original: Sequence[float]) -> SimpleNamespace | None:
    """Choose beta on a validation split, and by the original's rule: best epoch and best beta on the test set.

    `original` are the original's betas. Returns None before two betas were run, one of them among these.
    """
    ran = {beta: runs for beta, runs in validated.items() if runs}
    among = [beta for beta in ran if beta in original]
    if len(ran) < 2 or not among:
        return None
    held_out, last, best = (
        {beta: stats.values(value, runs) for beta, runs in ran.items()}
        for value in (validation_accuracy, stats.accuracy, stats.best_accuracy)
    )
    scores = pd.Series({beta: found.mean() for beta, found in held_out.items()})
    clean, peeked = scores.idxmax(), max(among, key=lambda beta: best[beta].mean())
    first = stats.records_of(ran[clean])[0].last.validation
    assert first is not None  # it was chosen by its split
    split = np.asarray(first.confusion)
    images = split.sum(axis=1)
    # Half an image is added, so that none of a thousand does not give a variance of zero.
    shares = (split.diagonal() + 0.5) / (images + 1)
    return SimpleNamespace(
        beta=clean,
        accuracies=last[clean],
        images=images,  # of the split, by class
        error=np.sqrt((shares * (1 - shares) / images).sum()) / len(images),  # of its mean, from its size alone
        range=np.ptp(scores),  # of its mean over the betas
        peeked=peeked,  # the choice by the original's rule, and the accuracies that it reports
        reported=best[peeked],
        # Of that rule, and the part of it by the epoch; the same runs where both choose the same beta.
        gain=(stats.paired if clean == peeked else stats.welch)(best[peeked], last[clean]),
        by_epoch=best[peeked].mean() - last[peeked].mean(),
    )


def draws(by_draw: Mapping[int, tuple[stats.Runs, stats.Runs]]) -> tuple[np.ndarray, float]:
    """Return the gain of the balanced loss on each draw of the subset that has both, {subset seed: (CE, balanced)}.

    The second value is the standard deviation of the gains expected from the seeds alone; NaN where no draw has two.
    """
    found = [stats.compare(stats.accuracy, balanced, ce) for ce, balanced in by_draw.values() if ce and balanced]
    within = [d.deviation**2 * sum(1 / n for n in d.seeds) for d in found if min(d.seeds) > 1]
    chance = np.sqrt(np.mean(within)) if within else np.nan
    return np.array([d.mean for d in found]), chance
