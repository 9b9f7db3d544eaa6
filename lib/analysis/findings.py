"""Values that the notebooks' sentences state: of class weights, confusion matrices, the beta sweep, draws."""

from collections.abc import Mapping, Sequence
from itertools import combinations, compress
from operator import attrgetter
from types import SimpleNamespace

import numpy as np
import pandas as pd

from lib.analysis.statistics import Runs, accuracy, best_accuracy, by_seed, contrasts, paired_difference, shared_seeds
from lib.losses import class_balanced_weights
from lib.training import Record


def weight_ratio(counts: Sequence[int], beta: float) -> float:
    """Return the largest class weight over the smallest."""
    weights = class_balanced_weights(counts, beta)
    return float(weights.max() / weights.min())


def neutral_betas(counts: Sequence[int], betas: Sequence[float]) -> list[float]:
    """Betas whose class weights are all exactly 1 in float32: they are one and the same computation.

    For the long-tailed CIFAR-10 with 50 images in its rarest class that is every beta up to about 0.7: what
    beta^n takes from the weights is below single precision.
    """
    return [beta for beta in betas if bool((class_balanced_weights(counts, beta) == 1).all())]


def beta_groups(counts: Sequence[int], betas: Sequence[float]) -> list[list[float]]:
    """Ascending betas, grouped where their class weights agree to within a thousandth: no run could tell them apart.

    The weights are compared with those of the group's first beta.
    """
    found: list[list[float]] = []
    for beta in sorted(betas):
        weights = class_balanced_weights(counts, beta)
        if found and ((weights / class_balanced_weights(counts, found[-1][0]) - 1).abs() <= 1e-3).all():
            found[-1].append(beta)
        else:
            found.append([beta])
    return found


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


def sweep(
    betas: Sequence[float], values: np.ndarray, ce: np.ndarray, counts: Sequence[int], classes: Sequence
) -> SimpleNamespace:
    """Compare accuracies [betas, seeds, C] with each other and with those of cross-entropy, [seeds, C].

    Betas of equal weights count once. `counts` are the training images of the `classes`.
    """
    repeated = neutral_betas(counts, betas)[1:]
    distinct = [i for i, beta in enumerate(betas) if beta not in repeated]
    mean, seeds = values.mean(axis=1), values.shape[1]
    best = int(mean.mean(axis=1).argmax())
    gains, steps = mean[best] - ce.mean(axis=0), np.diff(mean[distinct], axis=0)
    throughout = (steps >= 0).all(axis=0) | (steps <= 0).all(axis=0)  # plateaus allowed; a constant is not monotone
    several = seeds > 1 and len(distinct) > 1
    return SimpleNamespace(
        best=best,  # position of the beta with the highest mean accuracy
        distinct=len(distinct),  # betas that differ in their weights
        # Classes that gain and lose over cross-entropy at the best beta.
        better=list(compress(classes, gains > 0)),
        worse=list(compress(classes, gains < 0)),
        monotone=list(compress(classes, throughout & steps.any(axis=0))) if len(distinct) > 2 else [],
        lowest=mean[best].min(),  # accuracy of the worst class at the best beta
        missed=list(compress(classes, mean[best] == 0)),  # never correct
        # Standard deviation of the mean accuracy over betas, and the one expected from the seeds alone.
        between=mean[distinct].mean(axis=1).std(ddof=1) if several else np.nan,
        chance=np.sqrt(values.mean(axis=2)[distinct].var(axis=1, ddof=1).mean() / seeds) if several else np.nan,
    )


def distance(values: np.ndarray, original: np.ndarray) -> float:
    """Mean absolute distance of accuracies [betas, C] to the original's, where it has any; else NaN."""
    away = np.abs(values - original)[~np.isnan(original)]
    return float(away.mean()) if away.size else np.nan


def spread(
    betas: Sequence[float],
    values: np.ndarray,  # accuracies [betas, seeds, C] of one epoch each, paired by seed
    counts: Sequence[int],  # training images per class
    margin: float,  # difference in accuracy that counts as none
    images: int,  # of the test set
) -> SimpleNamespace | None:
    """Compare the changes due to beta with those due to the seed, up to the original's largest beta, 0.99.

    Equivalent means that all pairs of betas are shown to differ by less than the margin: two one-sided t tests at 5 %
    (Schuirmann 1987), the same as 90 % intervals inside the margin. All pairs have to pass, so each is tested at its
    own level. Returns None with one seed, or one weighting.
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


def validation_accuracy(record: Record) -> float:
    """Mean over classes at the last epoch: the split has the training set's long tail, the test set is balanced."""
    return float(np.nanmean(record.last.validation.per_class)) if record.last.validation else np.nan


def clean_choice(validated: Mapping[float, Runs], original: Sequence[float]) -> SimpleNamespace | None:
    """Choose beta on a validation split, and by the original's rule: best epoch and best beta on the test set.

    Of the runs by beta those from the seeds that most betas share are used. `original` are the betas among which the
    original chose. Returns None before two betas were run, and one of the original's.
    """
    if not validated:
        return None
    _, ran = shared_seeds(validated, max(validated, key=lambda beta: len(validated[beta])))
    among = [beta for beta in ran if beta in original]
    if len(ran) < 2 or not among:
        return None
    held_out, last, best = (
        pd.DataFrame(by_seed(value, *(validated[beta] for beta in ran)), index=ran)  # betas in rows, seeds in columns
        for value in (validation_accuracy, accuracy, best_accuracy)
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


def draws(by_draw: Mapping[int, tuple[Runs, Runs]]) -> tuple[np.ndarray, float]:
    """Return the gain of the balanced loss on each draw of the subset that has both, {subset seed: (CE, balanced)}.

    The second value is the standard deviation of the gains expected from the seeds alone; NaN where no draw has two.
    """
    gains = [np.subtract(*by_seed(accuracy, balanced, ce)) for ce, balanced in by_draw.values() if ce.keys() & balanced]
    within = [gain.var(ddof=1) for gain in gains if len(gain) > 1]
    chance = np.sqrt(np.mean(within) * np.mean([1 / len(gain) for gain in gains])) if within else np.nan
    return np.array([gain.mean() for gain in gains]), chance
