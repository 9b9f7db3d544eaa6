"""Claim 3: Compared with cross-entropy, CB-Focal improves every class except bird.

Rule: Class by class with equal settings, from at least three seeds each: contradicted if one of the nine other classes
is shown to get worse, or bird to improve; supported if the nine are shown to improve and bird does not.
"""

import numpy as np

from lib.analysis.claims.claim import SEVERAL, Answer, Evidence, Found, NotRun, Outcome
from lib.analysis.prose import interval, named, needed, of_seeds, power
from lib.analysis.statistics import accuracy, best_accuracy, class_accuracies, compare, one_image

EXCEPTION = "bird"


def measure(evidence: Evidence) -> Found:
    runs, ce = evidence.balanced.get(evidence.chosen, {}), evidence.cross_entropy
    if not runs or not ce:
        raise NotRun(f"cross-entropy and the balanced loss at β = {evidence.chosen:g}")
    evidence.labels([EXCEPTION])  # raises where there is no such class
    floor, figures = one_image(runs, 1), evidence.original
    return Found(
        runs,
        ce,
        names=np.array(evidence.classes),
        singly=compare(class_accuracies, runs, ce, floor=floor),  # balanced less cross-entropy by class, each at 95 %
        # The same differences, intervals that hold together.
        together=compare(class_accuracies, runs, ce, len(evidence.classes), floor=floor),
        mean=compare(accuracy, runs, ce, floor=one_image(runs)),
        published=float(np.mean(figures["class_balanced_focal"][evidence.chosen]) - np.mean(figures["cross_entropy"])),
        predicted=compare(best_accuracy, runs, ce, one_more=True),
    )


def judge(found: Found) -> Outcome:
    if min(found.mean.seeds) < SEVERAL:
        return "undecided"
    bird = found.names == EXCEPTION
    if found.together.above[bird].any() or found.together.below[~bird].any():
        return "contradicted"
    as_stated = found.singly.above[~bird].all() and (found.singly.mean[bird] <= 0).all()
    return "supported" if as_stated else "undecided"


def explain(found: Found) -> Answer:
    up, down = found.names[found.together.above], found.names[found.together.below]
    any_shown = f"shown to be higher: {named(up)}; lower: {named(down)}"
    shown = any_shown if len(up) + len(down) else "no class is shown to differ"
    mean, low, high = interval(found.mean), found.predicted.low, found.predicted.high
    size = power(found.singly)
    lies = "inside" if low <= found.published <= high else "outside"
    effect = (
        f"The original's {100 * found.published:+.1f} points lie {lies} the 95 % prediction interval of one more pair "
        f"of runs (best epoch): {100 * low:+.1f} to {100 * high:+.1f} points."
    )
    return Answer(
        f"{shown}; mean over the classes {mean}"
        + (f"; {seeds} in the noisiest class" if (seeds := needed(found.singly)) else ""),
        f"With equal settings ({of_seeds(found.mean)}), simultaneous intervals: {shown}. Mean over the classes: "
        f"{mean}.{size and f'{size} These are of single classes.'}",
        effect if np.isfinite(low) else "",
        "Whether the two rows come from equal settings is claim 9.",
    )
