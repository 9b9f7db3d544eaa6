"""Claim 5: Accuracy as a function of β is not monotone for any class.

Rule: Over all betas of the sweep with different weights: a class is shown not to be monotone by a rise and a fall
between two of them, and shown to have a trend by Jonckheere's test where no step against it is shown. Contradicted if a
class has a trend, supported if every class is shown not to be monotone.
"""

from itertools import combinations
from math import factorial

import numpy as np

from lib.analysis.claims.claim import Answer, Evidence, Found, NotRun, Outcome
from lib.analysis.prose import named, seeds_each, spans
from lib.analysis.statistics import class_accuracies, compare, one_image, trend, values


def measure(evidence: Evidence) -> Found:
    if not evidence.counts:
        raise NotRun("the sweep of beta")
    treatments = {group: runs for group, runs in evidence.treatments().items() if len(runs) > 1}
    if len(treatments) < 3:
        raise NotRun(f"three betas with different weights, from two seeds each (there are {spans(list(treatments))})")
    runs, names = list(treatments.values()), np.array(evidence.classes)
    pairs = list(combinations(runs, 2))
    steps = [compare(class_accuracies, b, a, len(pairs), floor=one_image(a, 1)) for a, b in pairs]  # later less earlier
    tau, p = trend([values(class_accuracies, each) for each in runs])
    rises, falls = np.any([d.above for d in steps], axis=0), np.any([d.below for d in steps], axis=0)
    trending = (p < 0.05 / len(names)) & ~(rises & falls)
    return Found(
        *runs,
        groups=list(treatments),  # betas with equal weights
        seeds=[*map(len, runs)],
        turning=names[rises & falls],
        upwards=names[trending & (tau > 0)],
        downwards=names[trending & (tau < 0)],
        open=names[~trending & ~(rises & falls)],
        tau=float(np.abs(tau[trending]).mean()) if trending.any() else np.nan,
        published=len(evidence.replicates()),
    )


def judge(found: Found) -> Outcome:
    if len(found.upwards) or len(found.downwards):
        return "contradicted"
    return "undecided" if len(found.open) else "supported"


def explain(found: Found) -> Answer:
    parts = {"rising": found.upwards, "falling": found.downwards}
    shown = "; ".join(f"{word}: {named(who)}" for word, who in parts.items() if len(who))
    return Answer(
        f"trends over β, {shown}" if shown else f"shown to rise and fall: {named(found.turning)}",
        f"{len(found.groups)} betas differ in their weights ({spans(found.groups)}; {seeds_each(found.seeds)}). Trend "
        f"(Jonckheere, 5 % over all classes): {shown or 'none'}; shown to rise and fall: {named(found.turning)}; "
        f"neither: {named(found.open)}.",
        f"The original's rows say nothing about it: {found.published} of its eleven are one treatment, and so many "
        f"values in random order are monotone with a probability of 2/{found.published}! = "
        f"{2 / factorial(found.published):.1g} in a class."
        if found.published > 1
        else "",
    )
