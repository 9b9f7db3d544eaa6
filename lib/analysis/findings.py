"""Values that the notebooks' sentences state: of confusion matrices, class weights and the beta sweep."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from lib.analysis.betas import neutral_betas
from lib.losses import class_balanced_weights


def confused(matrix: np.ndarray, most: int = 3) -> list[tuple[int, int, int]]:
    """Return the most frequent mistakes of a confusion matrix [C, C] as (true class, predicted class, images)."""
    off = matrix - np.diag(matrix.diagonal())
    order = np.argsort(off, axis=None)[::-1][:most]
    return [(int(y), int(p), int(off[y, p])) for y, p in zip(*np.unravel_index(order, off.shape), strict=True)]


@dataclass(frozen=True)
class Prior:
    """Predictions on a balanced test set by a model that was trained on a long tail; shares are fractions."""

    frequent: int  # classes in the more frequent half
    rare: int
    images: float  # training images in frequent classes
    predictions: float  # predictions of a frequent class
    rare_as_frequent: float  # test images of rare classes that are taken for a frequent one
    frequent_as_rare: float
    favourite: int  # the most frequent prediction
    favourite_share: float
    rank: float  # Spearman's, of training images and accuracy over the classes; NaN without spread


def prior(matrix: np.ndarray, counts: Sequence[int]) -> Prior:
    """Compare the more frequent half of the classes with the rarer one; matrix [C, C], counts [C] training images."""
    images, accuracy = np.asarray(counts), matrix.diagonal() / matrix.sum(axis=1)
    half = len(images) // 2
    by_count = np.argsort(-images, kind="stable")
    frequent, rare = by_count[:half], by_count[half:]
    predicted = matrix.sum(axis=0) / matrix.sum()
    rank = np.nan
    if np.ptp(images) and np.ptp(accuracy):
        rank = pd.DataFrame({"images": images, "accuracy": accuracy}).corr("spearman").iloc[0, 1]
    return Prior(
        frequent=len(frequent),
        rare=len(rare),
        images=images[frequent].sum() / images.sum(),
        predictions=predicted[frequent].sum(),
        rare_as_frequent=matrix[np.ix_(rare, frequent)].sum() / matrix[rare].sum(),
        frequent_as_rare=matrix[np.ix_(frequent, rare)].sum() / matrix[frequent].sum(),
        favourite=int(predicted.argmax()),
        favourite_share=predicted.max(),
        rank=rank,
    )


def weight_ratio(counts: Sequence[int], beta: float) -> float:
    """Return the largest class weight over the smallest."""
    weights = class_balanced_weights(counts, beta)
    return float(weights.max() / weights.min())


def mean_weight(counts: Sequence[int], beta: float) -> float:
    """Return the class weight averaged over the training images."""
    return float(np.dot(class_balanced_weights(counts, beta).numpy(), counts) / np.sum(counts))


@dataclass(frozen=True)
class Sweep:
    """A beta sweep beside cross-entropy; classes as labels. Betas of equal weights count once."""

    best: int  # position of the beta with the highest mean accuracy
    distinct: int  # betas that differ in their weights
    better: np.ndarray  # classes that gain over cross-entropy at the best beta
    worse: np.ndarray
    monotone: list[int]  # classes with an accuracy that rises or falls throughout
    lowest: float  # accuracy of the worst class at the best beta
    missed: np.ndarray  # classes without a correct test image at the best beta
    between: float  # standard deviation of the mean accuracy over betas
    chance: float  # the one expected from the seeds alone; NaN with one seed


def sweep(betas: Sequence[float], values: np.ndarray, ce: np.ndarray, counts: Sequence[int]) -> Sweep:
    """Compare betas with each other and with cross-entropy; values [betas, seeds, C], ce [seeds, C], counts [C]."""
    repeated = neutral_betas(counts, betas)[1:]
    distinct = [i for i, beta in enumerate(betas) if beta not in repeated]
    mean, seeds = values.mean(axis=1), values.shape[1]
    best = int(mean.mean(axis=1).argmax())
    gains = mean[best] - ce.mean(axis=0)
    several = seeds > 1 and len(distinct) > 1
    return Sweep(
        best=best,
        distinct=len(distinct),
        better=np.flatnonzero(gains > 0),
        worse=np.flatnonzero(gains < 0),
        monotone=[k for k, line in enumerate(mean[distinct].T) if _monotone(line)],
        lowest=mean[best].min(),
        missed=np.flatnonzero(mean[best] == 0),
        between=mean[distinct].mean(axis=1).std(ddof=1) if several else np.nan,
        chance=np.sqrt(values.mean(axis=2)[distinct].var(axis=1, ddof=1).mean() / seeds) if several else np.nan,
    )


def distance(betas: Sequence[float], values: np.ndarray, original: Mapping[float, Sequence[float]]) -> float:
    """Mean absolute distance to the original's rows over the betas in common, NaN without any; values [betas, C]."""
    away = [np.abs(row - original[beta]) for beta, row in zip(betas, values, strict=True) if beta in original]
    return float(np.mean(away)) if away else np.nan


def _monotone(values: np.ndarray) -> bool:
    """Test for values that rise or fall throughout, plateaus allowed; a constant is neither."""
    steps = np.diff(values)
    return len(values) > 2 and bool(steps.any()) and bool((steps >= 0).all() or (steps <= 0).all())
