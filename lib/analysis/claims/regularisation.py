"""Claim 4: the gap between training and test accuracy of the most frequent classes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lib.analysis.claims.claim import MARGIN, Claim, Outcome, interval, named
from lib.analysis.claims.evidence import Evidence, NotRun, by_seed, one_image, per_class, records_of
from lib.analysis.prose import seeds_in_words
from lib.analysis.statistics import Difference, contrasts, paired_difference
from lib.training import Record

FREQUENT = ("airplane", "automobile")


@dataclass(frozen=True)
class Found:
    chosen: float
    beta: float  # that is tested: the chosen one, or the largest where the chosen one does not reweight
    gaps: Sequence[float]  # training minus test accuracy: cross-entropy, focal loss without weights, with weights
    overfits: bool  # cross-entropy, by more than the margin
    singly: Sequence[Difference]  # reduction of the gap from either to the weighted loss, each at 95 %
    by_loss: Difference  # the same two, intervals that hold together
    by_weights: Difference


def measure(evidence: Evidence) -> tuple[Found, list[Record]]:
    ce, plain, beta = evidence.cross_entropy, evidence.balanced.get(0.0, {}), evidence.chosen
    if not ce or not plain:
        raise NotRun("cross-entropy and β = 0 from the same seeds")
    if any({0.0, beta} <= set(group) for group in evidence.treatments()):
        beta = max(evidence.betas)
    runs = evidence.balanced.get(beta, {})
    if not (runs.keys() & ce.keys() and runs.keys() & plain.keys()):
        raise NotRun(f"cross-entropy, β = 0 and β = {beta:g} from the same seeds")
    frequent = evidence.labels(FREQUENT)

    def gap(record: Record) -> float:
        return float((record.train_per_class(record.last) - per_class(record))[frequent].mean())

    gaps = by_seed(gap, ce, plain, runs)
    if not gaps.size or np.isnan([gap(record) for record in records_of(runs, ce, plain)]).any():
        raise NotRun("runs from the same seeds that keep the training accuracy by class")
    pairs, floor = [(0, 2), (1, 2)], one_image(runs, len(FREQUENT))
    overfitting = paired_difference(gaps[0], np.zeros(gaps.shape[1]), floor=floor)
    by_loss, by_weights = contrasts(gaps, pairs, comparisons=2, floor=floor)
    found = Found(
        chosen=evidence.chosen,
        beta=beta,
        gaps=gaps.mean(axis=1).tolist(),
        overfits=overfitting.low > MARGIN,
        singly=contrasts(gaps, pairs, floor=floor),
        by_loss=by_loss,
        by_weights=by_weights,
    )
    return found, records_of(runs, ce, plain)


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


STATEMENT = "Reweighting regularises the most frequent classes (airplane, automobile): less overfitting."
RULE = (
    "Where cross-entropy is shown to overfit by more than a point: contradicted if the gap between training and test "
    "accuracy is shown to be within one point of that without weights (β = 0), else supported if it is smaller than "
    "that and than with cross-entropy. Contradicted in any case if it is larger than one of them."
)
CLAIM = Claim(4, STATEMENT, RULE, measure, judge, explain)
