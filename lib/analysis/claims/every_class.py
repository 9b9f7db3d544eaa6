"""Claim 3: Compared with cross-entropy, CB-Focal improves every class except bird.

Rule: Class by class: supported if the nine other classes improve and bird does not; contradicted if one of the nine
gets worse, or bird improves.
"""

from lib.analysis.claims.claim import Evidence, Found, NotRun, Outcome
from lib.analysis.prose import interval, named, resolution, seeds_in_words
from lib.analysis.statistics import Difference, by_seed, class_accuracies, one_image, paired_difference

EXCEPTION = "bird"


def measure(evidence: Evidence) -> Found:
    runs, ce = evidence.balanced.get(evidence.chosen, {}), evidence.cross_entropy
    if not runs.keys() & ce.keys():
        raise NotRun(f"cross-entropy and the balanced loss at β = {evidence.chosen:g} from the same seeds")
    evidence.labels([EXCEPTION])  # raises where there is no such class
    names, (a, b), floor = evidence.classes, by_seed(class_accuracies, runs, ce), one_image(runs, 1)

    def gains(comparisons: int) -> dict[str, Difference]:
        columns = zip(names, a.T, b.T, strict=True)
        return {name: paired_difference(x, y, comparisons=comparisons, floor=floor) for name, x, y in columns}

    together = gains(len(names))
    return Found(
        runs,
        ce,
        singly=gains(1),  # balanced less cross-entropy by class, each at 95 %
        together=together,  # the same, intervals that hold together
        up=[name for name, d in together.items() if d.above],
        down=[name for name, d in together.items() if d.below],
        mean=paired_difference(a.mean(axis=1), b.mean(axis=1), floor=one_image(runs)),
    )


def judge(found: Found) -> Outcome:
    if EXCEPTION in found.up or any(name != EXCEPTION for name in found.down):
        return "contradicted"
    others_rise = all(d.above for name, d in found.singly.items() if name != EXCEPTION)
    return "supported" if others_rise and found.singly[EXCEPTION].mean <= 0 else "undecided"


def explain(found: Found) -> tuple[str, str]:
    changed = f"higher for {named(found.up)}, lower for {named(found.down)}"
    rest = [name for name in found.together if name not in (*found.up, *found.down)]
    return (
        f"With equal settings, {seeds_in_words(found.mean.pairs)}: {changed}, no difference shown for {named(rest)}"
        f"{resolution(list(found.together.values()))}. Mean over the classes: {interval(found.mean)}.",
        changed,
    )
