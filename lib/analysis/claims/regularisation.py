"""Claim 4: Reweighting regularises the most frequent classes (airplane, automobile): less overfitting.

Rule: The gap is training minus test accuracy of these classes at the last epoch, from at least three seeds each:
with the final weights and without augmentation where so many runs keep it, else as measured during the epoch.
Contradicted if cross-entropy is shown not to overfit by a point, if the gap under the weights is shown to be larger
than with cross-entropy or without weights, or if the weights are shown to change it by less than a point. Supported if
cross-entropy is shown to overfit by more than a point and the gap under the weights is shown to be smaller than both.
"""

from operator import attrgetter

import numpy as np

from lib.analysis.claims.claim import MARGIN, SEVERAL, Answer, Evidence, Found, NotRun, Outcome
from lib.analysis.prose import interval, named, of_seeds, power
from lib.analysis.statistics import class_accuracies, mean_interval, one_image, values, welch
from lib.analysis.tables import percent
from lib.training import Record

FREQUENT = ("airplane", "automobile")


def measure(evidence: Evidence) -> Found:
    groups = evidence.treatments()
    group = next((group for group in groups if 0.0 in group), ())  # betas that do not reweight
    beta = evidence.chosen
    if beta in group:
        beta = max(evidence.original["class_balanced_focal"])

    settings = (evidence.cross_entropy, groups.get(group, {}), evidence.balanced.get(beta, {}))
    if not all(settings):
        raise NotRun(f"cross-entropy, β = 0 and β = {beta:g}")
    frequent = evidence.labels(FREQUENT)

    final, during = attrgetter("final_train_correct"), attrgetter("last.train_hits")
    enough = min(sum(final(each) is not None for each in runs.values()) for runs in settings) >= SEVERAL
    correct = final if enough else during
    ce, plain, runs = ({seed: each for seed, each in runs.items() if correct(each) is not None} for runs in settings)
    if not (ce and plain and runs):
        raise NotRun("runs that keep the training accuracy by class")

    def of_classes(record: Record) -> tuple[float, float]:
        trained = np.asarray(correct(record)) / np.asarray(record.counts)
        return trained[frequent].mean(), class_accuracies(record)[frequent].mean()

    floor = one_image(runs, len(FREQUENT))
    both = [values(of_classes, each).T for each in (ce, plain, runs)]  # training and test accuracy, [2, seeds]
    gaps = [trained - tested for trained, tested in both]
    mean, half = mean_interval(gaps[0], floor=floor)
    return Found(
        ce,
        plain,
        runs,
        chosen=evidence.chosen,
        beta=beta,
        gaps=[float(each.mean()) for each in gaps],
        measured="with the final weights" if enough else "during the epoch, on augmented images",
        both=[[each[n].mean() for each in both[1:]] for n in (0, 1)],  # training, test: without, with weights
        premise=(float(mean - half), float(mean + half)),  # the gap of cross-entropy
        by_loss=welch(gaps[0], gaps[2], 2, floor=floor),  # reductions of the gap, intervals that hold together
        by_weights=welch(gaps[1], gaps[2], 2, floor=floor),
        singly=[welch(each, gaps[2], floor=floor) for each in gaps[:2]],  # the same two, each at 95 %
        equal=welch(gaps[1], gaps[2], level=0.90, floor=floor),  # two one-sided tests at 5 % each
    )


def judge(found: Found) -> Outcome:
    if min(n for d in found.singly for n in d.seeds) < SEVERAL:
        return "undecided"
    low, high = found.premise
    if high < MARGIN or found.by_loss.below or found.by_weights.below or found.equal.within(MARGIN):
        return "contradicted"
    return "supported" if low > MARGIN and all(d.above for d in found.singly) else "undecided"


def explain(found: Found) -> Answer:
    (low, high), (ce, plain, weighted) = found.premise, (f"{100 * gap:.1f}" for gap in found.gaps)
    replaced = f"β = {found.chosen:g} does not reweight, so β = {found.beta:g} is tested. "
    said = (replaced if found.beta != found.chosen else "") + (
        f"Training accuracy ({found.measured}) minus test accuracy of {named(FREQUENT)} is {ce} points with "
        f"cross-entropy, {plain} with the focal loss without weights, {weighted} at β = {found.beta:g}. Reduction from "
        f"cross-entropy: {interval(found.by_loss)}; by the weights alone: {interval(found.by_weights)} "
        f"({of_seeds(*found.singly)}).{power(found.by_loss, found.by_weights, comparisons=2)}"
    )
    trained, tested = (" to ".join(map(percent, pair)) for pair in found.both)
    if high < MARGIN:
        short = f"cross-entropy does not overfit these classes: {ce} points [{100 * low:.1f}, {100 * high:.1f}]"
    elif found.equal.within(MARGIN):
        short = f"at β = {found.beta:g} the weights reduce the gap between training and test ({ce} points with "
        short += f"cross-entropy) by {interval(found.equal)} (90 % interval): less than a point"
    else:
        short = f"gap between training and test without weights minus with weights: {interval(found.by_weights)}"
    return Answer(
        short,
        said,
        "The original states no training accuracy.",
        f"From no weights to β = {found.beta:g} training accuracy of these classes goes from {trained} %, test "
        f"accuracy from {tested} %.",
    )
