"""Sentences generated from figures: what a notebook says about its runs. Markdown out.

Every sentence is decided by the records it is given; on other records it comes out otherwise.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from scipy import stats

from lib.data import CLASS_NAMES
from lib.losses import class_balanced_weights
from lib.statistics import mean_interval, proportion_interval
from lib.tables import percent
from lib.training import Record

#: Accuracy below which a class counts as not learned: half of what guessing gives with ten classes.
UNLEARNED = 0.05


def points(difference: float) -> str:
    """A difference of two accuracies in percentage points."""
    return f"{100 * abs(difference):.1f} points {'above' if difference >= 0 else 'below'}"


def names(classes: Sequence[int]) -> str:
    """Class names as a list in a sentence."""
    words = [CLASS_NAMES[k] for k in classes]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def convnet_headline(records: Sequence[Record], published: float) -> str:
    """The ConvNet's accuracy beside the published one."""
    best = np.array([r.best.test.accuracy for r in records])
    mean, half = mean_interval(best)
    seeds = f"mean of {len(best)} seeds" if len(best) > 1 else "one seed"
    verdict = "reached" if mean >= published else "not reached"
    return (
        f"**ConvNet:** {percent(mean, half)} % on the test set by the write-up's rule (best epoch on the test "
        f"set; {seeds}), {points(mean - published)} the published {percent(published)} %, which is "
        f"thus {verdict}."
    )


def convnet_details(record: Record) -> str:
    """Both protocols for one run, and what the size of the test set allows to say."""
    n = int(np.sum(record.best.test.confusion))
    low, high = proportion_interval(record.best.test.accuracy, n)
    gain = record.best.test.accuracy - record.last.test.accuracy
    gap = record.last.train_accuracy - record.last.test.accuracy
    return (
        f"By the write-up's rule the run scores {percent(record.best.test.accuracy)} % (epoch "
        f"{record.best.epoch} of {record.experiment.epochs}, 95 % interval {percent(low)} to {percent(high)} % "
        f"for {n:,} test images, Wilson). The clean rule, the last epoch whatever the test set says, gives "
        f"{percent(record.last.test.accuracy)} %: choosing the epoch on the test set gains "
        f"{100 * gain:.1f} points here. In the last epoch accuracy on the (augmented) training images is "
        f"{percent(record.last.train_accuracy)} %, {points(gap)} that on the test images. The model's "
        f"confidence is off by {percent(record.last.test.calibration_error)} points on average "
        f"(expected calibration error)."
    )


def memorised(accuracies: Sequence[float], images: int) -> str:
    """Whether a fresh model could memorise a handful of images, and how soon; fractions by step."""
    full = next((step for step, accuracy in enumerate(accuracies) if accuracy == 1), None)
    if full is None:
        return (
            f"**The network does not memorise {images} images:** it reaches {percent(max(accuracies))} % in "
            f"{len(accuracies) - 1} steps. Something is wrong; do not trust what follows."
        )
    return f"The network memorises {images} images: all are classified correctly after {full} steps."


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


def equal_betas(per_class: Sequence[int], betas: Sequence[float]) -> list[float]:
    """The betas whose class weights are all exactly 1 in float32: to the training they are one and the same."""
    return [beta for beta in betas if bool((class_balanced_weights(per_class, beta) == 1).all())]


def weights(per_class: Sequence[int], betas: Sequence[float], published: Mapping[float, Sequence[float]]) -> str:
    """How much, or how little, beta does on these counts."""
    said = []
    for beta in betas[-2:]:
        w = class_balanced_weights(per_class, beta)
        said.append(f"{w.max() / w.min():.2f} at β = {beta:g}")
    largest = class_balanced_weights(per_class, betas[-1]).numpy()
    per_image = float(np.dot(largest, per_class) / np.sum(per_class))
    text = (
        f"The ratio of the largest to the smallest weight is {' and '.join(said)}. "
        f"Averaged over the training images, the weight at β = {betas[-1]:g} is {per_image:.3f}: where the loss is "
        f"divided by the number of images, that also scales its gradient against weight decay, so β and the "
        f"effective learning rate cannot be told apart by this sweep alone."
    )
    equal = equal_betas(per_class, betas)
    if len(equal) < 2:
        return text
    text += (
        f"\n\n**For β from {equal[0]:g} to {equal[-1]:g} the weights are no different at all:** $\\beta^n$ vanishes "
        f"for the smallest class already ($n = {min(per_class)}$), and all weights are exactly 1 in single precision. "
        f"With the same seed these {len(equal)} runs are one and the same computation."
    )
    rows = np.array([published[beta] for beta in equal if beta in published])
    if len(rows) < 2:
        return text
    spread, means = np.ptp(rows, axis=0), rows.mean(axis=1)
    return text + (
        f" The published rows of these β nevertheless differ, by up to {percent(spread.max())} points in a class "
        f"({CLASS_NAMES[int(spread.argmax())]}) and {percent(np.ptp(means))} points on average over the classes. "
        f"β cannot be the cause of that; what remains is chance, such as the seed."
    )


def long_tail_headline(values: np.ndarray, counts: Sequence[int]) -> str:
    """Cross-entropy on the long tail in a sentence; values [seeds, C]."""
    mean = values.mean(axis=0)
    unlearned = np.flatnonzero(mean < UNLEARNED)
    lost = f"{names(unlearned)} stay below {percent(UNLEARNED)} %" if len(unlearned) else "no class is lost entirely"
    return (
        f"**Long tail, cross-entropy:** {percent(mean.mean())} % on the balanced test set, from "
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
    rank = stats.spearmanr(counts, accuracy).statistic
    distance = np.abs(accuracy - np.asarray(published)).mean()
    top = int(predicted.argmax())
    return (
        f"The {half} most frequent classes hold {percent(share[frequent].sum())} % of the training images. On "
        f"the balanced test set {percent(predicted[frequent].sum())} % of all predictions fall on them, where "
        f"{percent(half / len(counts))} % would be right. "
        f"Of the test images of the {len(rare)} rare classes {percent(drawn)} % are taken for a frequent one; the "
        f"reverse happens to {percent(other_way)} %. The favourite answer is {CLASS_NAMES[top]} "
        f"({percent(predicted[top])} % of all predictions). Rank correlation between a class's number of "
        f"training images and its accuracy is {rank:.2f} (Spearman). Cross-entropy counts every training image "
        f"alike, so it also rewards a model for learning how frequent the classes are in training; on a balanced test "
        f"set that prior is wrong, at the rare classes' cost. The mean absolute distance to the published row is "
        f"{percent(distance)} points."
    )


def sweep_headline(betas: Sequence[float], values: np.ndarray, ce: np.ndarray, per_class: Sequence[int]) -> str:
    """The best beta against cross-entropy; values [betas, seeds, C], ce [seeds, C], per_class [C] images."""
    macro = values.mean(axis=(1, 2))
    best = int(macro.argmax())
    spread = macro.max() - macro.min()
    text = (
        f"**Beta sweep:** the highest mean accuracy, {percent(macro[best])} %, is at β = {betas[best]:g}, "
        f"{points(macro[best] - ce.mean())} cross-entropy ({percent(ce.mean())} %). All {len(betas)} betas lie "
        f"within {100 * spread:.1f} points of each other"
    )
    equal = equal_betas(per_class, betas)
    if len(equal) < 2:
        return text + "."
    return text + (
        f"; from {equal[0]:g} to {equal[-1]:g} they give exactly the same class weights on these counts, "
        f"so differences published between those are chance."
    )


def sweep_observations(
    betas: Sequence[float],
    values: np.ndarray,
    ce: np.ndarray,
    published: Mapping[float, Sequence[float]],
) -> str:
    """What the sweep shows, as a list; values [betas, seeds, C], ce [seeds, C]."""
    mean, ce_mean = values.mean(axis=1), ce.mean(axis=0)
    best = int(mean.mean(axis=1).argmax())
    gains = mean[best] - ce_mean
    better, worse = np.flatnonzero(gains > 0), np.flatnonzero(gains < 0)
    lines = [
        f"Against cross-entropy, CB-Focal at its best β = {betas[best]:g} is higher for "
        f"{names(better) if len(better) else 'no class'} and lower for "
        f"{names(worse) if len(worse) else 'no class'}."
    ]
    monotone = [k for k in range(mean.shape[1]) if _monotone(mean[:, k])]
    lines.append(
        "Accuracy as a function of β is monotone for no class."
        if not monotone
        else f"Accuracy as a function of β is monotone for {names(monotone)}, and for no other class."
    )
    alive = mean[best] > 0
    lines.append(
        f"At that β every class keeps some accuracy; the lowest has {percent(mean[best].min())} %."
        if alive.all()
        else f"At that β {names(np.flatnonzero(~alive))} get no test image right."
    )
    if values.shape[1] > 1:
        seeds = values.mean(axis=2).std(axis=1, ddof=1).mean()
        between = values.mean(axis=(1, 2)).std(ddof=1)
        lines.append(
            f"The mean accuracy varies by {100 * seeds:.2f} points over seeds (standard deviation, averaged over "
            f"β) and by {100 * between:.2f} points over β (standard deviation of the means)."
        )
    else:
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
