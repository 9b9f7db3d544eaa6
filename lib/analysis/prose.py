"""Sentences generated from figures: what a notebook says about its runs. Markdown out.

Every sentence is decided by the records it is given; on other records it comes out otherwise.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from lib.analysis.betas import neutral_betas
from lib.analysis.statistics import mean_interval, prediction_interval, proportion_interval
from lib.analysis.tables import percent
from lib.data import CLASS_NAMES
from lib.losses import class_balanced_weights
from lib.training import Record

#: Accuracy below which a class counts as not learned: half of what guessing gives with ten classes.
UNLEARNED = 0.05


def points(difference: float) -> str:
    """A difference of two accuracies in percentage points."""
    return f"{100 * abs(difference):.1f} points {'above' if difference >= 0 else 'below'}"


def _seeds(n: int) -> str:
    return f"mean of {n} seeds" if n > 1 else "one seed"


def seeds_in_words(n: int) -> str:
    """How many seeds."""
    return f"{n} seeds" if n > 1 else "one seed"


def names(classes: Sequence[int]) -> str:
    """Class names as a list in a sentence."""
    words = [CLASS_NAMES[k] for k in classes]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def convnet_headline(records: Sequence[Record], published: float) -> str:
    """The ConvNet's accuracy beside the published one."""
    best = np.array([r.best.test.accuracy for r in records])
    mean, half = mean_interval(best)
    low, high = prediction_interval(best)
    if low <= published <= high:
        verdict = f"within what one more run would reach ({percent(low)} to {percent(high)} %)"
    else:
        verdict = "thus reached" if mean >= published else "thus not reached"
    return (
        f"**ConvNet:** {percent(mean, half)} % on the test set by the write-up's rule (best epoch on the test "
        f"set; {_seeds(len(best))}), {points(mean - published)} the published {percent(published)} %, which is "
        f"{verdict}."
    )


def training_caption(records: Sequence[Record]) -> str:
    """Of the figure that shows how these runs trained."""
    settings = list(dict.fromkeys(r.experiment.setting for r in records))
    what = settings[0] if len(settings) == 1 else f"{len(settings)} settings, {settings[0]} to {settings[-1]}"
    runs = f"{len(records)} runs" if len(records) > 1 else "one run"
    return (
        f"Learning curves of {runs} ({what}): loss, accuracy, learning rate, a line per run, and the test accuracy of "
        "every class. Dots are the best epochs on the test set. Training values are means over the epoch, on "
        "augmented images; the training loss is the one that was minimised, the test loss plain cross-entropy."
    )


def convnet_details(record: Record) -> str:
    """Both protocols for one run, and what the size of the test set allows to say."""
    n = int(np.sum(record.best.test.confusion))
    low, high = proportion_interval(record.best.test.accuracy, n)
    gain = record.best.test.accuracy - record.last.test.accuracy
    gap = record.last.train_accuracy - record.last.test.accuracy
    return (
        f"By the write-up's rule the run with seed {record.experiment.seed} scores "
        f"{percent(record.best.test.accuracy)} % (epoch {record.best.epoch} of {record.experiment.epochs}, 95 % "
        f"interval {percent(low)} to {percent(high)} % for {n:,} test images, Wilson). The clean rule, the last "
        f"epoch whatever the test set says, gives "
        f"{percent(record.last.test.accuracy)} %: choosing the epoch on the test set gains "
        f"{100 * gain:.1f} points here. In the last epoch accuracy on the (augmented) training images is "
        f"{percent(record.last.train_accuracy)} %, {points(gap)} that on the test images. The model's "
        f"confidence is off by {percent(record.last.test.calibration_error)} points on average "
        f"(expected calibration error)."
    )


def memorised(accuracies: Sequence[float], images: int) -> str:
    """Whether a fresh model could memorise a handful of images, and how soon; fractions by epoch."""
    full = next((epoch for epoch, accuracy in enumerate(accuracies, start=1) if accuracy == 1), None)
    if full is None:
        return (
            f"**The network does not memorise {images} images:** it reaches {percent(max(accuracies))} % in "
            f"{len(accuracies)} epochs. Something is wrong; do not trust what follows."
        )
    return f"The network memorises {images} images: all are classified correctly after {full} epochs."


def confusions(matrix: np.ndarray, most: int = 3) -> str:
    """The most frequent mistakes of a confusion matrix [C, C]."""
    off = matrix - np.diag(matrix.diagonal())
    order = np.argsort(off, axis=None)[::-1][:most]
    pairs = [np.unravel_index(i, off.shape) for i in order]
    said = [f"{CLASS_NAMES[y]} taken for {CLASS_NAMES[p]} ({off[y, p]:.0f} of {matrix[y].sum():.0f})" for y, p in pairs]
    accuracy = matrix.diagonal() / matrix.sum(axis=1)
    return (
        f"The most frequent mistakes are {'; '.join(said)}. The easiest class is "
        f"{CLASS_NAMES[int(accuracy.argmax())]} ({percent(accuracy.max())} %), the hardest "
        f"{CLASS_NAMES[int(accuracy.argmin())]} ({percent(accuracy.min())} %)."
    )


def counts(per_class: Sequence[int]) -> str:
    """The size and the slope of a long-tailed training set."""
    return (
        f"{sum(per_class):,} training images remain, from {max(per_class):,} in the most frequent class to "
        f"{min(per_class):,} in the rarest: a ratio of {max(per_class) / min(per_class):.0f}."
    )


def weights(per_class: Sequence[int], betas: Sequence[float], published: Mapping[str, Any], normalisation: str) -> str:
    """How much, or how little, beta does on these counts; `published` as lib.analysis.original gives it."""
    ratios = []
    for beta in sorted(betas)[-2:]:
        w = class_balanced_weights(per_class, beta)
        ratios.append(f"{w.max() / w.min():.2f} at β = {beta:g}")
    text = f"The ratio of the largest to the smallest weight is {' and '.join(ratios)}."
    largest = class_balanced_weights(per_class, max(betas)).numpy()
    per_image = float(np.dot(largest, per_class) / np.sum(per_class))
    if normalisation == "count" and per_image < 0.99:
        text += (
            f" Averaged over the training images, the weight at β = {max(betas):g} is {per_image:.3f}. As the loss is "
            f"divided by the number of images, this scales its gradient against weight decay too: β and the "
            f"effective learning rate cannot be told apart by this sweep alone."
        )
    equal = neutral_betas(per_class, betas)
    if len(equal) > 1:
        text += (
            f"\n\n**β = {listed(equal)} are no different at all on these counts:** $\\beta^n$ is below what single "
            f"precision resolves beside 1 for every class, so all weights are exactly 1. They are one computation, "
            f"trained once per seed here, and share their rows below."
        )
    alike = neutral_betas(published["counts"], list(published["class_balanced_focal"]))
    rows = np.array([published["class_balanced_focal"][beta] for beta in alike])
    spread, means = np.ptp(rows, axis=0), rows.mean(axis=1)
    return text + (
        f"\n\nOn the write-up's own counts this holds for β = {listed(alike)}. Its published rows of these β differ "
        f"all the same, by up to {percent(spread.max())} points in a class ({CLASS_NAMES[int(spread.argmax())]}) and "
        f"{percent(np.ptp(means))} points on average over the classes. β cannot be the cause of that; what remains is "
        f"chance, such as the seed."
    )


def listed(betas: Sequence[float]) -> str:
    """Some betas in a sentence."""
    return ", ".join(f"{beta:g}" for beta in betas)


def long_tail_headline(values: np.ndarray, counts: Sequence[int]) -> str:
    """Cross-entropy on the long tail in a sentence; values [seeds, C]."""
    mean = values.mean(axis=0)
    unlearned = np.flatnonzero(mean < UNLEARNED)
    lost = f"below {percent(UNLEARNED)} %: {names(unlearned) if len(unlearned) else 'no class'}"
    macro, half = mean_interval(values.mean(axis=1))
    return (
        f"**Long tail, cross-entropy:** {percent(macro, half)} % on the balanced test set (best epoch, "
        f"{_seeds(len(values))}), from "
        f"{percent(mean[0])} % for {CLASS_NAMES[0]} ({counts[0]:,} training images) to {percent(mean[-1])} % for "
        f"{CLASS_NAMES[-1]} ({counts[-1]:,}); {lost}."
    )


def what_goes_wrong(records: Sequence[Record], published: Sequence[float]) -> str:
    """Where the accuracy of the rare classes goes, from the confusion matrices of the best epochs."""
    matrix = np.sum([r.best.test.confusion for r in records], axis=0).astype(float)
    counts = np.array(records[0].counts)
    accuracy = matrix.diagonal() / matrix.sum(axis=1)
    half = len(counts) // 2
    by_count = np.argsort(-counts, kind="stable")
    frequent, rare = by_count[:half], by_count[half:]
    drawn = matrix[np.ix_(rare, frequent)].sum() / matrix[rare].sum()
    other_way = matrix[np.ix_(frequent, rare)].sum() / matrix[frequent].sum()
    predicted = matrix.sum(axis=0) / matrix.sum()
    share = counts / counts.sum()
    ranked = ""
    if np.ptp(counts) and np.ptp(accuracy):
        rank = pd.DataFrame({"images": counts, "accuracy": accuracy}).corr("spearman").iloc[0, 1]
        ranked = f" Rank correlation of a class's training images and its accuracy is {rank:.2f} (Spearman)."
    distance = np.abs(accuracy - np.asarray(published)).mean()
    top = int(predicted.argmax())
    return (
        f"The {half} most frequent classes hold {percent(share[frequent].sum())} % of the training images. On "
        f"the balanced test set {percent(predicted[frequent].sum())} % of all predictions fall on them, where "
        f"{percent(half / len(counts))} % would be right. "
        f"Of the test images of the {len(rare)} rare classes {percent(drawn)} % are taken for a frequent one; the "
        f"reverse happens to {percent(other_way)} %. The favourite answer is {CLASS_NAMES[top]} "
        f"({percent(predicted[top])} % of all predictions).{ranked} Cross-entropy counts every training image "
        f"alike, so it also rewards a model for learning how frequent the classes are in training; on a balanced test "
        f"set that prior is wrong, at the rare classes' cost. The mean absolute distance to the published row is "
        f"{percent(distance)} points."
    )


def sweep_headline(betas: Sequence[float], values: np.ndarray, ce: np.ndarray, per_class: Sequence[int]) -> str:
    """The best beta against cross-entropy; values [betas, seeds, C], ce [seeds, C], per_class [C] images."""
    macro, half = mean_interval(values.mean(axis=2).T)
    ce_macro, ce_half = mean_interval(ce.mean(axis=1))
    best = int(macro.argmax())
    text = (
        f"**Beta sweep:** the highest mean accuracy, {percent(macro[best], half[best])} %, is at β = {betas[best]:g}, "
        f"{points(macro[best] - ce_macro)} cross-entropy ({percent(ce_macro, ce_half)} %; best epoch on the test set, "
        f"{_seeds(len(ce))}). The {len(betas)} betas lie within {100 * np.ptp(macro):.1f} points of each other"
    )
    neutral = neutral_betas(per_class, betas)
    if len(neutral) < 2:
        return text + "."
    return text + f"; β = {listed(neutral)} give exactly the same class weights on these counts."


def sweep_observations(
    betas: Sequence[float],
    values: np.ndarray,
    ce: np.ndarray,
    per_class: Sequence[int],
    published: Mapping[float, Sequence[float]],
) -> str:
    """What the sweep shows, as a list; shapes as for `sweep_headline`. Betas of equal weights count once."""
    neutral = neutral_betas(per_class, betas)
    distinct = [i for i, beta in enumerate(betas) if beta not in neutral[1:]]
    mean, ce_mean = values.mean(axis=1), ce.mean(axis=0)
    best = int(mean.mean(axis=1).argmax())
    gains = mean[best] - ce_mean
    better, worse = np.flatnonzero(gains > 0), np.flatnonzero(gains < 0)
    lines = [
        f"Against cross-entropy, the class-balanced loss at its best β = {betas[best]:g} is higher for "
        f"{names(better) if len(better) else 'no class'} and lower for "
        f"{names(worse) if len(worse) else 'no class'}."
    ]
    monotone = [k for k in range(mean.shape[1]) if _monotone(mean[distinct, k])]
    lines.append(
        f"Over the {len(distinct)} betas that differ in their weights, accuracy is monotone for "
        f"{names(monotone) if monotone else 'no class'}{', and for no other class' if monotone else ''}."
    )
    alive = mean[best] > 0
    lines.append(
        f"At the best β every class keeps some accuracy; the lowest has {percent(mean[best].min())} %."
        if alive.all()
        else f"At the best β no test image is classified correctly of {names(np.flatnonzero(~alive))}."
    )
    if (n := values.shape[1]) > 1 and len(distinct) > 1:
        chance = np.sqrt(values.mean(axis=2)[distinct].var(axis=1, ddof=1).mean() / n)
        between = mean[distinct].mean(axis=1).std(ddof=1)
        lines.append(
            f"The mean accuracy of a β varies by {100 * between:.2f} points over β (standard deviation); from the "
            f"spread over its {n} seeds alone one would expect {100 * chance:.2f}."
        )
    elif n == 1:
        lines.append(
            "With one seed the spread over seeds is unknown, so differences between two betas, and which "
            "β is best, cannot be told from chance here."
        )
    shared = [i for i, beta in enumerate(betas) if beta in published]
    if shared:
        rows = np.array([published[betas[i]] for i in shared])
        distance = np.abs(mean[shared] - rows).mean()
        lines.append(f"The mean absolute distance to the published table is {percent(distance)} points.")
    return "\n".join(f"- {line}" for line in lines)


def _monotone(values: np.ndarray) -> bool:
    """Whether values rise or fall throughout, plateaus allowed; what never changes is neither."""
    steps = np.diff(values)
    return len(values) > 2 and bool(steps.any()) and bool((steps >= 0).all() or (steps <= 0).all())
