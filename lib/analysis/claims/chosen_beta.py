"""Claim 2: β = 0.8 is the best of the eleven; it is chosen because every class keeps some accuracy.

Rule: Contradicted if another of the eleven has the same weights to within a thousandth (then the chosen one cannot be
better), if another is shown to be higher, or if a class is shown to lie below 1 %. Supported if every other is shown to
be lower, from at least three seeds each, and every class is shown to lie above 1 %.
"""

from functools import partial

import numpy as np

from lib.analysis import statistics as stats
from lib.analysis.balancing import weight_ratio
from lib.analysis.claims.claim import FLOOR, SEVERAL, Answer, Evidence, Found, NotRun, Outcome
from lib.analysis.prose import interval, listed, named, of_seeds, power, spans
from lib.analysis.tables import percent


def measure(evidence: Evidence) -> Found:
    chosen, published = evidence.chosen, evidence.original["class_balanced_focal"]
    runs = evidence.balanced.get(chosen, {})
    if not runs:
        raise NotRun(f"the sweep of beta, {chosen:g} among it")
    treatments = {group: own for group, own in evidence.treatments().items() if set(group) & set(published)}
    own = next(group for group in treatments if chosen in group)
    others = {group: other for group, other in treatments.items() if group != own and other}
    score, count = partial(stats.compare, stats.accuracy, runs, floor=stats.one_image(runs)), len(others)
    together = {group: score(other, comparisons=count) for group, other in others.items()}
    names = np.array(evidence.classes)
    rows, floor = stats.values(stats.class_accuracies, runs), stats.one_image(runs, 1)
    mean, (single, half) = stats.mean_interval(rows, [[1], [len(names)]], floor)  # each class, and all together
    return Found(
        runs,
        *others.values(),
        chosen=chosen,
        alike=[beta for beta in own if beta != chosen],
        ratio=weight_ratio(evidence.counts, chosen),
        together=together,  # chosen less each other, intervals that hold together
        singly=[*map(score, others.values())],  # the same differences, each at 95 %
        better=[group[0] for group, d in together.items() if d.below],
        below=names[mean + half < FLOOR],  # shown to lie below the floor
        above=bool((mean - single > FLOOR).all()),
        original_below=names[np.array(published[chosen]) < FLOOR],
        missing=[group for group, other in treatments.items() if not other],
        published=float(np.mean(published[chosen])),
        rank=1 + sum(np.mean(row) > np.mean(published[chosen]) for row in published.values()),
        whole=sum(min(row) > 0 for row in published.values()),
        rows=len(published),
        predicted=stats.prediction_interval(stats.values(stats.best_accuracy, runs)),
    )


def judge(found: Found) -> Outcome:
    if found.alike or found.better or len(found.below):
        return "contradicted"
    several = bool(found.singly) and min(n for d in found.singly for n in d.seeds) >= SEVERAL
    best = several and all(d.above for d in found.singly) and not found.missing
    return "supported" if best and found.above else "undecided"


def explain(found: Found) -> Answer:
    times = f"{found.ratio:.2f} times" if found.ratio > 1.1 else f"{found.ratio:.6f} times"
    said = f"At β = {found.chosen:g} the largest class weight is {times} the smallest"
    short = "every other β is shown to be lower" if judge(found) == "supported" else "not shown to be the best"
    if found.alike:
        said += f", as at β = {listed(found.alike)} to within a thousandth: no run can tell these β apart"
        equal = spans([sorted([found.chosen, *found.alike])])
        short = f"at β = {equal} the weights are the same to within a thousandth"
    elif found.better:
        short = f"β = {listed(found.better)} is better"
    said += "."
    if found.together:
        differences = "; ".join(f"β = {spans([g])}: {interval(d)}" for g, d in found.together.items())
        said += f" β = {found.chosen:g} minus {differences} ({of_seeds(*found.singly)})."
        said += power(*found.together.values(), comparisons=len(found.together))
    if len(found.below):
        below = f"shown to lie below {100 * FLOOR:.0f} %: {named(found.below)}"
        short += f"; {below}"
        said += f" {below.capitalize()}; the original's own row: {named(found.original_below)}."
    else:
        said += f" {'Every' if found.above else 'Not every'} class is shown to lie above {100 * FLOOR:.0f} %."
    said += (
        f" In the original's own table β = {found.chosen:g} is number {found.rank} of {found.rows} by mean accuracy, "
        f"and {found.whole} of its rows have no class at zero."
    )
    if found.missing:
        said += f" Not run yet: β = {spans(found.missing)}."
    low, high = found.predicted
    lies = "inside" if low <= found.published <= high else "outside"
    effect = (
        f"The original's {percent(found.published)} % lies {lies} the 95 % prediction interval of one more run (best "
        f"epoch): {percent(low)} to {percent(high)} %."
    )
    unweighted = "Its weights are those without reweighting, so β is not why a class keeps some accuracy."
    mechanism = unweighted if found.alike and found.ratio < 1.001 else ""
    return Answer(short, said, effect if np.isfinite(low) else "", mechanism)
