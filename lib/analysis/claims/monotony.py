"""Claim 5: Accuracy as a function of β is not monotone for any class.

Rule: Over all betas of the sweep with different weights, from at least three seeds each, a class is shown to be
monotone to within five points by a trend in Jonckheere's test where every step of five points against it is excluded,
and not to be monotone by a rise and a fall. Contradicted if a class is shown to be monotone, supported if all are shown
not to be.
"""

from itertools import combinations
from math import factorial

import numpy as np

from lib.analysis.claims.claim import SEVERAL, Answer, Evidence, Found, NotRun, Outcome
from lib.analysis.prose import named, seeds_each, spans
from lib.analysis.statistics import class_accuracies, compare, one_image, trend, values

STEP = 0.05  # change of a class's accuracy that a monotone one may make in the other direction


def measure(evidence: Evidence) -> Found:
    published = evidence.original["class_balanced_focal"]
    if not evidence.counts:
        raise NotRun("the sweep of beta")
    treatments = evidence.treatments()
    if len(treatments) < 3 or min(map(len, treatments.values())) < SEVERAL:
        raise NotRun(f"three betas or more with different weights, each of the sweep from {SEVERAL} seeds")
    runs, names = list(treatments.values()), np.array(evidence.classes)
    pairs, floor = list(combinations(runs, 2)), one_image(runs[0], 1)
    steps = [compare(class_accuracies, b, a, len(pairs), floor=floor) for a, b in pairs]  # later less earlier
    # All steps of a class are needed, and one class is enough: one-sided 5 % over the classes together.
    each = [compare(class_accuracies, b, a, len(names), level=0.90, floor=floor) for a, b in pairs]
    rows = [values(class_accuracies, own) for own in runs]
    (tau, p), level = trend(rows), 0.05 / len(names)
    rises, falls = np.any([d.above for d in steps], axis=0), np.any([d.below for d in steps], axis=0)
    up = (p < level) & (tau > 0) & np.all([d.low > -STEP for d in each], axis=0)
    down = (p < level) & (tau < 0) & np.all([d.high < STEP for d in each], axis=0)
    within = [row for group, row in zip(treatments, rows, strict=True) if min(group) <= max(published)]
    return Found(
        *runs,
        groups=list(treatments),  # betas with equal weights
        seeds=[*map(len, runs)],
        rising=names[(p < level) & (tau > 0)],  # by the trend alone
        falling=names[(p < level) & (tau < 0)],
        in_range=names[trend(within)[1] < level],  # a trend over the original's betas
        turning=names[rises & falls],
        monotone=names[up | down],
        classes=names,
        alike=len(evidence.replicates()),
    )


def judge(found: Found) -> Outcome:
    if len(found.monotone):
        return "contradicted"
    return "supported" if len(found.turning) == len(found.classes) else "undecided"


def explain(found: Found) -> Answer:
    return Answer(
        f"classes with a trend over the original's β: {named(found.in_range)}; monotone to within five points from "
        f"β = {found.groups[0][0]:g} to {found.groups[-1][-1]:g}: {named(found.monotone)}",
        f"{len(found.groups)} betas differ in their weights ({spans(found.groups)}; {seeds_each(*found.seeds)}). Trend "
        f"(Jonckheere, 5 % over all classes), rising: {named(found.rising)}; falling: {named(found.falling)}; over the "
        f"original's β alone: {named(found.in_range)}. Shown to be monotone to within five points: "
        f"{named(found.monotone)}; shown to rise and fall: {named(found.turning)}.",
        f"The original's rows say nothing about it: {found.alike} of them are one weighting, and so many values in "
        f"random order are monotone once in {factorial(found.alike) // 2:,} times."
        if found.alike > 1
        else "",
    )
