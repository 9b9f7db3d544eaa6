"""Claim 3: Compared with cross-entropy, CB-Focal improves every class except bird.

Rule: Class by class: supported if the nine other classes improve and bird does not; contradicted if one of the nine
gets worse, or bird improves.
"""

import numpy as np

from lib.analysis.claims.claim import Evidence, Found, NotRun, Outcome
from lib.analysis.prose import interval, named, resolution, seeds_in_words
from lib.analysis.statistics import by_seed, class_accuracies, one_image, paired_difference

EXCEPTION = "bird"


def measure(evidence: Evidence) -> Found:
    runs, ce = evidence.balanced.get(evidence.chosen, {}), evidence.cross_entropy
    if not runs.keys() & ce.keys():
        raise NotRun(f"cross-entropy and the balanced loss at β = {evidence.chosen:g} from the same seeds")
    evidence.labels([EXCEPTION])  # raises where there is no such class
    (a, b), floor = by_seed(class_accuracies, runs, ce), one_image(runs, 1)  # [seeds, C]
    return Found(
        runs,
        ce,
        names=np.array(evidence.classes),
        singly=paired_difference(a, b, floor=floor),  # balanced less cross-entropy by class, each at 95 %
        together=paired_difference(a, b, comparisons=a.shape[1], floor=floor),  # the same, intervals that hold together
        mean=paired_difference(a.mean(axis=1), b.mean(axis=1), floor=one_image(runs)),
    )


def judge(found: Found) -> Outcome:
    bird = found.names == EXCEPTION
    if found.together.above[bird].any() or found.together.below[~bird].any():
        return "contradicted"
    as_stated = found.singly.above[~bird].all() and (found.singly.mean[bird] <= 0).all()
    return "supported" if as_stated else "undecided"


def explain(found: Found) -> tuple[str, str]:
    up, down = found.together.above, found.together.below
    changed = f"higher for {named(found.names[up])}, lower for {named(found.names[down])}"
    return (
        f"With equal settings, {seeds_in_words(found.mean.pairs)}: {changed}, no difference shown for "
        f"{named(found.names[~up & ~down])}{resolution([found.together])}. Mean over the classes: "
        f"{interval(found.mean)}.",
        changed,
    )
