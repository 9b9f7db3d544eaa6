"""Claim 5: Accuracy as a function of β is not monotone for any class.

Rule: Over the β with different weights: a rise and a fall show that a class is not monotone; one of them shows that it
is monotone where every step of more than a point in the other direction is excluded. Supported if all classes are shown
not to be monotone, contradicted if one is shown to be.
"""

from functools import partial
from itertools import combinations

import numpy as np

from lib.analysis.claims.claim import MARGIN, Evidence, Found, NotRun, Outcome
from lib.analysis.prose import named, resolution, seeds_in_words, spans
from lib.analysis.statistics import by_seed, class_accuracies, contrasts, one_image


def measure(evidence: Evidence) -> Found:
    if not evidence.counts:
        raise NotRun("the sweep of beta")
    treatments = evidence.treatments()
    missing = [group for group, runs in treatments.items() if not runs]
    if missing or len(treatments) < 3:
        raise NotRun(f"three betas with different weights, and all of the original's (missing: {spans(missing)})")
    runs = list(treatments.values())
    rows = by_seed(class_accuracies, *runs)  # [groups, seeds, C]
    if not rows.size:
        raise NotRun("the betas from the same seeds")
    names, ever_correct = np.array(evidence.classes), rows.any(axis=(0, 1))
    pairs = [(j, i) for i, j in combinations(range(len(rows)), 2)]  # steps between two groups: later less earlier
    steps = partial(contrasts, rows[:, :, ever_correct], pairs, floor=one_image(runs[0], 1))
    of_class = steps(comparisons=len(pairs))
    turning = np.any([d.above for d in of_class], axis=0) & np.any([d.below for d in of_class], axis=0)
    # One class is enough to contradict, so all classes' steps hold together; within a class all are needed.
    surely, within = steps(comparisons=len(names) * len(pairs)), steps(comparisons=len(names))
    rises = np.any([d.above for d in surely], axis=0) & np.all([d.low > -MARGIN for d in within], axis=0)
    falls = np.any([d.below for d in surely], axis=0) & np.all([d.high < MARGIN for d in within], axis=0)
    monotone = ~turning & (rises | falls)
    return Found(
        *runs,
        groups=list(treatments),  # betas with equal weights
        seeds=rows.shape[1],
        steps=of_class,
        empty=names[~ever_correct],
        turning=names[ever_correct][turning],
        monotone=names[ever_correct][monotone],
        open=names[ever_correct][~turning & ~monotone],
    )


def judge(found: Found) -> Outcome:
    if len(found.monotone):
        return "contradicted"
    return "undecided" if len(found.empty) or len(found.open) else "supported"


def explain(found: Found) -> tuple[str, str]:
    said = (
        f"{len(found.groups)} of the {sum(map(len, found.groups))} betas differ in their weights "
        f"({spans(found.groups)}); {seeds_in_words(found.seeds)}. Shown to be monotone: {named(found.monotone)}; shown "
        f"to rise and fall: {named(found.turning)}; no correct prediction at any β: {named(found.empty)}; undecided "
        f"with these seeds: {named(found.open)}{resolution(found.steps)}."
    )
    return said, f"monotone for {named(found.monotone)}" if len(found.monotone) else "every class both rises and falls"
