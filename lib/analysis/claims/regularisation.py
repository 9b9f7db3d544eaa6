"""Claim 4: Reweighting regularises the most frequent classes (airplane, automobile): less overfitting.

Rule: Where cross-entropy is shown to overfit by more than a point: contradicted if the gap between training and test
accuracy is shown to be within one point of that without weights (β = 0), else supported if it is smaller than that and
than with cross-entropy. Contradicted in any case if it is larger than one of them.
"""

import numpy as np

from lib.analysis.claims.claim import MARGIN, Evidence, Found, NotRun, Outcome
from lib.analysis.prose import interval, named, seeds_in_words
from lib.analysis.statistics import by_seed, class_accuracies, contrasts, one_image, paired_difference, records_of
from lib.training import Record

FREQUENT = ("airplane", "automobile")


def measure(evidence: Evidence) -> Found:
    ce, plain, beta = evidence.cross_entropy, evidence.balanced.get(0.0, {}), evidence.chosen
    if not ce or not plain:
        raise NotRun("cross-entropy and β = 0 from the same seeds")
    if any({0.0, beta} <= set(group) for group in evidence.treatments()):
        beta = max(evidence.original["class_balanced_focal"])  # the chosen one does not reweight
    runs = evidence.balanced.get(beta, {})
    if not ce.keys() & plain.keys() & runs.keys():
        raise NotRun(f"cross-entropy, β = 0 and β = {beta:g} from the same seeds")
    frequent = evidence.labels(FREQUENT)

    def gap(record: Record) -> float:
        return float((record.train_per_class(record.last) - class_accuracies(record))[frequent].mean())

    gaps, floor = by_seed(gap, ce, plain, runs), one_image(runs, len(FREQUENT))
    if np.isnan([gap(record) for record in records_of(runs, ce, plain)]).any():
        raise NotRun("runs that keep the training accuracy by class")
    pairs = [(0, 2), (1, 2)]  # reduction of the gap from either to the weighted loss
    by_loss, by_weights = contrasts(gaps, pairs, comparisons=2, floor=floor)  # intervals that hold together
    return Found(
        runs,
        ce,
        plain,
        chosen=evidence.chosen,
        beta=beta,
        gaps=gaps.mean(axis=1),
        overfits=paired_difference(gaps[0], np.zeros(gaps.shape[1]), floor=floor).low > MARGIN,
        singly=contrasts(gaps, pairs, floor=floor),  # the same two, each at 95 %
        by_loss=by_loss,
        by_weights=by_weights,
    )


def judge(found: Found) -> Outcome:
    no_effect = found.by_weights.within(MARGIN)
    if found.by_loss.below or found.by_weights.below or (found.overfits and no_effect):
        return "contradicted"
    return "supported" if found.overfits and all(d.above for d in found.singly) else "undecided"


def explain(found: Found) -> tuple[str, str]:
    said = ""
    if found.beta != found.chosen:
        said = (
            f"β = {found.chosen:g} does not reweight: its weights are those of β = 0 to within a thousandth. "
            f"Tested instead: β = {found.beta:g}. "
        )
    ce, plain, weighted = (f"{100 * gap:.1f}" for gap in found.gaps)
    said += (
        f"Training minus test accuracy of {named(FREQUENT)} is {ce} points with cross-entropy, {plain} with the focal "
        f"loss without weights (β = 0), {weighted} at β = {found.beta:g}. The loss as a whole reduces it by "
        f"{interval(found.by_loss)}, its weights alone by {interval(found.by_weights)}, "
        f"{seeds_in_words(found.by_loss.pairs)}. Training accuracy is measured during the epoch, on augmented images, "
        "while the weights change."
    )
    if not found.overfits:
        said += " Cross-entropy is not shown to overfit these classes by more than a point: nothing to regularise."
    return said, f"the weights reduce the gap between training and test by {interval(found.by_weights)}"
