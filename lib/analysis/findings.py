"""Values that the notebooks' sentences state: of class weights, confusion matrices and the beta sweep."""

from collections.abc import Mapping, Sequence
from types import SimpleNamespace

import numpy as np
import pandas as pd

from lib.losses import class_balanced_weights


def weight_ratio(counts: Sequence[int], beta: float) -> float:
    """Return the largest class weight over the smallest."""
    weights = class_balanced_weights(counts, beta)
    return float(weights.max() / weights.min())


def mean_weight(counts: Sequence[int], beta: float) -> float:
    """Return the class weight averaged over the training images."""
    return float(np.dot(class_balanced_weights(counts, beta).numpy(), counts) / np.sum(counts))


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

    Args:
        matrix: confusion matrix [C, C] of a model that was trained on a long tail.
        counts: its training images per class, [C].
    """
    images, accuracy = np.asarray(counts), matrix.diagonal() / matrix.sum(axis=1)
    by_count = np.argsort(-images, kind="stable")
    frequent, rare = np.split(by_count, [len(images) // 2])
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
    """Compare betas with each other and with cross-entropy; betas of equal weights count once.

    Args:
        values, ce: accuracies [betas, seeds, C], and those of cross-entropy, [seeds, C].
        counts, classes: training images per class, [C], and their names.
    """
    repeated = neutral_betas(counts, betas)[1:]
    distinct = [i for i, beta in enumerate(betas) if beta not in repeated]
    mean, seeds = values.mean(axis=1), values.shape[1]
    best = int(mean.mean(axis=1).argmax())
    gains = mean[best] - ce.mean(axis=0)
    several = seeds > 1 and len(distinct) > 1
    return SimpleNamespace(
        best=best,  # position of the beta with the highest mean accuracy
        distinct=len(distinct),  # betas that differ in their weights
        # Classes that gain and lose over cross-entropy at the best beta.
        better=[name for name, gain in zip(classes, gains, strict=True) if gain > 0],
        worse=[name for name, gain in zip(classes, gains, strict=True) if gain < 0],
        monotone=[name for name, line in zip(classes, mean[distinct].T, strict=True) if _monotone(line)],
        lowest=mean[best].min(),  # accuracy of the worst class at the best beta
        missed=[name for name, value in zip(classes, mean[best], strict=True) if value == 0],  # never correct
        # Standard deviation of the mean accuracy over betas, and the one expected from the seeds alone.
        between=mean[distinct].mean(axis=1).std(ddof=1) if several else np.nan,
        chance=np.sqrt(values.mean(axis=2)[distinct].var(axis=1, ddof=1).mean() / seeds) if several else np.nan,
    )


def _monotone(values: np.ndarray) -> bool:
    """Test for values that rise or fall throughout, plateaus allowed; a constant is neither."""
    steps = np.diff(values)
    return len(values) > 2 and bool(steps.any()) and bool((steps >= 0).all() or (steps <= 0).all())


def distance(betas: Sequence[float], values: np.ndarray, original: Mapping[float, Sequence[float]]) -> float:
    """Mean absolute distance to the original's rows over the betas in common, NaN without any; values [betas, C]."""
    away = [np.abs(row - original[beta]) for beta, row in zip(betas, values, strict=True) if beta in original]
    return float(np.mean(away)) if away else np.nan
