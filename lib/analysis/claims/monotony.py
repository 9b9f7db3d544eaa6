"""Claim 5: accuracy as a function of beta, class by class."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np

from lib.analysis.claims.claim import MARGIN, Claim, Outcome, named, resolution, spans
from lib.analysis.claims.evidence import Evidence, NotRun, by_seed, one_image, per_class, records_of
from lib.analysis.prose import seeds_in_words
from lib.analysis.statistics import Difference, contrasts
from lib.training import Record

Shape = Literal["monotone", "turning", "empty", "open"]


@dataclass(frozen=True)
class Found:
    betas: int
    groups: Sequence[Sequence[float]]  # betas with equal weights
    seeds: int
    shapes: Mapping[str, Shape]  # by class
    steps: Sequence[Difference]  # of all classes

    def of(self, shape: Shape) -> list[str]:
        """Classes of this shape."""
        return [name for name, found in self.shapes.items() if found == shape]


def measure(evidence: Evidence) -> tuple[Found, list[Record]]:
    if not evidence.counts:
        raise NotRun("the sweep of beta")
    treatments = evidence.treatments()
    missing = [group for group, runs in treatments.items() if not runs]
    if missing or len(treatments) < 3:
        raise NotRun(f"three betas with different weights, and all of the original's (missing: {spans(missing)})")
    runs = list(treatments.values())
    rows = by_seed(per_class, *runs)  # [groups, seeds, C]
    if not rows.size:
        raise NotRun("the betas from the same seeds")
    names = evidence.classes
    shapes = [_shape(rows[:, :, k], one_image(runs[0], 1), len(names)) for k in range(len(names))]
    found = Found(
        betas=len(evidence.betas),
        groups=list(treatments),
        seeds=rows.shape[1],
        shapes={name: shape for name, (shape, _) in zip(names, shapes, strict=True)},
        steps=[step for _, steps in shapes for step in steps],
    )
    return found, records_of(*runs)


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
    if found.of("monotone"):
        return "contradicted"
    return "supported" if len(found.of("turning")) == len(found.shapes) else "undecided"


def explain(found: Found) -> tuple[str, str]:
    monotone = found.of("monotone")
    said = (
        f"{len(found.groups)} of the {found.betas} betas differ in their weights ({spans(found.groups)}); "
        f"{seeds_in_words(found.seeds)}. Shown to be monotone: {named(monotone)}; shown to rise and fall: "
        f"{named(found.of('turning'))}; no correct prediction at any β: {named(found.of('empty'))}; undecided with "
        f"these seeds: {named(found.of('open'))}{resolution(found.steps)}."
    )
    return said, f"monotone for {named(monotone)}" if monotone else "every class both rises and falls"


STATEMENT = "Accuracy as a function of β is not monotone for any class."
RULE = (
    "Over the β with different weights: a rise and a fall show that a class is not monotone; one of them shows that "
    "it is monotone where every step of more than a point in the other direction is excluded. Supported if all "
    "classes are shown not to be monotone, contradicted if one is shown to be."
)
CLAIM = Claim(5, STATEMENT, RULE, measure, judge, explain)
