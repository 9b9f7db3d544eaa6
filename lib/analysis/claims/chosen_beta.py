"""Claim 2: β = 0.8 is the best of the eleven; it is chosen because every class keeps some accuracy.

Rule: Supported if every other β was run from at least three shared seeds and is lower, and every class has a correct
prediction; contradicted if another β is higher, if another β has the same weights to within a thousandth (then the
chosen one cannot be better), or if a class has no correct prediction in any of at least three seeds.
"""

from lib.analysis.claims.claim import SEVERAL, Evidence, Found, NotRun, Outcome
from lib.analysis.findings import weight_ratio
from lib.analysis.prose import interval, listed, named, seeds_in_words, spans
from lib.analysis.statistics import by_seed, class_accuracies, contrasts, one_image, shared_seeds


def measure(evidence: Evidence) -> Found:
    chosen = evidence.chosen
    if not evidence.balanced.get(chosen):
        raise NotRun(f"the sweep of beta, {chosen:g} among it")
    treatments = evidence.treatments()
    own = next(group for group in treatments if chosen in group)
    seeds, ran = shared_seeds(treatments, own)
    others = [group for group in treatments if group in ran and group != own]
    rows = by_seed(class_accuracies, *(treatments[group] for group in (own, *others)))  # [groups, seeds, C]
    scores, floor = rows.mean(axis=2), one_image(treatments[own])
    pairs = [(0, i) for i in range(1, len(rows))]  # chosen beta less each other
    together = dict(zip(others, contrasts(scores, pairs, comparisons=len(pairs), floor=floor), strict=True))
    return Found(
        *treatments.values(),
        chosen=chosen,
        alike=[beta for beta in own if beta != chosen],
        ratio=weight_ratio(evidence.counts, chosen),
        seeds=len(seeds),
        together=together,  # intervals that hold together
        singly=contrasts(scores, pairs, floor=floor),  # the same differences, each at 95 %
        better=[group[0] for group, d in together.items() if d.below],
        # Classes without a correct prediction in any run.
        empty=[name for name, row in zip(evidence.classes, rows[0].T, strict=True) if others and not row.any()],
        missing=[group for group in treatments if group not in ran],
    )


def judge(found: Found) -> Outcome:
    if found.alike or found.better or (found.empty and found.seeds >= SEVERAL):
        return "contradicted"
    best = bool(found.singly) and all(d.above for d in found.singly)
    complete = not found.missing and found.seeds >= SEVERAL
    return "supported" if best and complete and not found.empty else "undecided"


def explain(found: Found) -> tuple[str, str]:
    none_correct = f"no image of {named(found.empty)} is classified correctly"
    times = f"{found.ratio:.2f} times" if found.ratio > 1.1 else f"{found.ratio:.6f} times"
    said = f"At β = {found.chosen:g} the largest class weight is {times} the smallest"
    if found.alike:
        said += f", as at β = {listed(found.alike)} to within a thousandth: no run can tell these β apart"
    said += "."
    if found.together:
        differences = "; ".join(f"β = {spans([g])}: {interval(d)}" for g, d in found.together.items())
        said += f" β = {found.chosen:g} minus {differences}."
        never = f" {none_correct[0].upper()}{none_correct[1:]} in any of {seeds_in_words(found.seeds)}."
        said += never if found.empty else " Every class keeps some accuracy."
    if found.missing:
        said += f" Not run yet from the same seeds: β = {spans(found.missing)}."
    if found.alike:
        short = f"its class weights are those of smaller β: the largest is {times} the smallest"
    elif found.better:
        short = f"β = {listed(found.better)} is better"
    else:
        short = none_correct if found.empty else "every other β is lower"
    return said, short
