"""Claim 7: Horse, ship and truck get non-zero accuracy under CB-Focal; uniform accuracy stays out of reach.

Rule: With at least three seeds: supported if all three classes have a correct prediction in every run and two of them
differ, contradicted if one has none in any run; contradicted also if all are above 5 % and within one point.
"""

from lib.analysis.claims.claim import MARGIN, SEVERAL, Evidence, Found, NotRun, Outcome
from lib.analysis.prose import interval, named, seeds_in_words
from lib.analysis.statistics import by_seed, class_accuracies, contrasts, one_image
from lib.analysis.tables import percent

RARE = ("horse", "ship", "truck")
LEARNED = 0.05  # mean accuracy above which a class counts as learned


def measure(evidence: Evidence) -> Found:
    runs = evidence.balanced.get(evidence.chosen, {})
    if not runs:
        raise NotRun(f"the balanced loss at β = {evidence.chosen:g}")
    rows = by_seed(class_accuracies, runs)[0][:, evidence.labels(RARE)]  # [seeds, rare classes]
    first, second, third = rows.mean(axis=0).argsort()[::-1]
    pairs = [(first, second), (second, third), (first, third)]  # the last one is the best less the worst
    return Found(
        runs,
        beta=evidence.chosen,
        rows=rows,
        apart=contrasts(rows.T, pairs, comparisons=len(pairs), floor=one_image(runs, 1)),
        never=[name for name, column in zip(RARE, rows.T, strict=True) if not column.any()],
    )


def judge(found: Found) -> Outcome:
    several = len(found.rows) >= SEVERAL
    uniform = all(d.within(MARGIN) for d in found.apart) and bool((found.rows.mean(axis=0) > LEARNED).all())
    if uniform or (several and found.never):
        return "contradicted"
    always = several and bool((found.rows > 0).all())
    return "supported" if always and any(d.above for d in found.apart) else "undecided"


def explain(found: Found) -> tuple[str, str]:
    seeds = seeds_in_words(len(found.rows))
    accuracies = ", ".join(
        f"{name} {percent(column.mean())} % ({percent(column.min())} to {percent(column.max())} %)"
        for name, column in zip(RARE, found.rows.T, strict=True)
    )
    never = f"no image of {named(found.never)} is classified correctly"
    said = (
        f"At β = {found.beta:g}, {seeds} (lowest and highest): {accuracies}. Difference between the best and the worst "
        f"class: {interval(found.apart[-1])}."
    )
    return (f"{said} {never.capitalize()} in any of {seeds}.", never) if found.never else (said, accuracies)
