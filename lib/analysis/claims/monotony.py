"""Claim 5: Accuracy as a function of β is not monotone for any class.

Rule: Over the β with different weights: a rise and a fall show that a class is not monotone; one of them shows that it
is monotone where every step of more than a point in the other direction is excluded. Supported if all classes are shown
not to be monotone, contradicted if one is shown to be.
"""

from itertools import combinations
from typing import Literal

import numpy as np

from lib.analysis.claims.claim import MARGIN, Evidence, Found, NotRun, Outcome
from lib.analysis.prose import named, resolution, seeds_in_words, spans
from lib.analysis.statistics import Difference, by_seed, class_accuracies, contrasts, one_image

Shape = Literal["monotone", "turning", "empty", "open"]


def measure(evidence: Evidence) -> Found:
    if not evidence.counts:
        raise NotRun("the sweep of beta")
    treatments = evidence.treatments()
    missing = [group for group, runs in treatments.items() if not runs]
    if missing or len(treatments) < 3:
        raise NotRun(f"three betas with different weights, and all of the original's (missing: {spans(missing)})")
    runs, names = list(treatments.values()), evidence.classes
    rows = by_seed(class_accuracies, *runs)  # [groups, seeds, C]
    if not rows.size:
        raise NotRun("the betas from the same seeds")
    steps: list[Difference] = []
    classes: dict[Shape, list[str]] = {"monotone": [], "turning": [], "empty": [], "open": []}
    for k, name in enumerate(names):
        shape, own = _shape(rows[:, :, k], one_image(runs[0], 1), len(names))
        classes[shape].append(name)
        steps += own
    return Found(
        *runs,
        groups=list(treatments),  # betas with equal weights
        seeds=rows.shape[1],
        steps=steps,  # of all classes
        **classes,
    )


def _shape(rows: np.ndarray, floor: float, classes: int) -> tuple[Shape, list[Difference]]:
    """The shape of one class's accuracies [groups, seeds] over beta, and all steps between two groups."""
    if not rows.any():
        return "empty", []
    pairs = [(j, i) for i, j in combinations(range(len(rows)), 2)]  # later less earlier
    steps = contrasts(rows, pairs, comparisons=len(pairs), floor=floor)
    if any(d.above for d in steps) and any(d.below for d in steps):
        return "turning", steps
    # One class is enough to contradict, so all classes' steps hold together; within a class all are needed.
    surely = contrasts(rows, pairs, comparisons=classes * len(pairs), floor=floor)
    within_class = contrasts(rows, pairs, comparisons=classes, floor=floor)
    rises = any(d.above for d in surely) and all(d.low > -MARGIN for d in within_class)
    falls = any(d.below for d in surely) and all(d.high < MARGIN for d in within_class)
    return "monotone" if rises or falls else "open", steps


def judge(found: Found) -> Outcome:
    if found.monotone:
        return "contradicted"
    return "undecided" if found.empty or found.open else "supported"


def explain(found: Found) -> tuple[str, str]:
    said = (
        f"{len(found.groups)} of the {sum(map(len, found.groups))} betas differ in their weights ({spans(found.groups)}); "
        f"{seeds_in_words(found.seeds)}. Shown to be monotone: {named(found.monotone)}; shown to rise and fall: "
        f"{named(found.turning)}; no correct prediction at any β: {named(found.empty)}; undecided with "
        f"these seeds: {named(found.open)}{resolution(found.steps)}."
    )
    return said, f"monotone for {named(found.monotone)}" if found.monotone else "every class both rises and falls"
