"""Claim 7: Horse, ship and truck get non-zero accuracy under CB-Focal; uniform accuracy stays out of reach.

Rule: From at least three seeds: contradicted if one of the three is shown to lie below 1 %, or if all are shown to lie
above 1 % and within a point of each other; supported if all three are shown to lie above 1 % and two of them to differ.
"""

from itertools import combinations

import numpy as np

from lib.analysis import statistics as stats
from lib.analysis.claims.claim import FLOOR, MARGIN, SEVERAL, Answer, Evidence, Found, NotRun, Outcome
from lib.analysis.prose import interval, named, seeds_in_words
from lib.analysis.tables import percent

RARE = ("horse", "ship", "truck")


def measure(evidence: Evidence) -> Found:
    runs, names = evidence.balanced.get(evidence.chosen, {}), np.array(RARE)
    if not runs:
        raise NotRun(f"the balanced loss at β = {evidence.chosen:g}")
    labels, floor = evidence.labels(RARE), stats.one_image(runs, 1)
    rows = stats.values(stats.class_accuracies, runs)[:, labels]  # [seeds, rare classes]
    mean, (single, half) = stats.mean_interval(rows, [[1], [len(RARE)]], floor)  # each class, and all together
    pairs = list(combinations(range(len(RARE)), 2))
    first, *_, last = rows.mean(axis=0).argsort()[::-1]
    published = np.array(evidence.original["class_balanced_focal"][evidence.chosen])[labels]
    low, high = stats.prediction_interval(stats.per_class(list(runs.values()))[:, labels], len(RARE), floor)
    below, above = mean + half < FLOOR, mean - single > FLOOR
    deviation = np.maximum(rows.std(axis=0, ddof=len(rows) > 1), floor)
    return Found(
        runs,
        beta=evidence.chosen,
        rows=rows,
        below=names[below],  # shown to lie below the floor
        above=names[above],
        # Others, and the seeds after which they would be told from the floor, normal approximation; one seed: unknown.
        rest=names[~(below | above)] if len(rows) > 1 else names[:0],
        needed=(2.8 * deviation / np.maximum(abs(mean - FLOOR), 1e-6))[~(below | above)] ** 2,
        # Two classes of the same runs, their intervals together at 95 %, and each for the test of equality.
        apart=[stats.paired(rows[:, i], rows[:, j], len(pairs), floor=floor) for i, j in pairs],
        uniform=all(stats.paired(rows[:, i], rows[:, j], level=0.90, floor=floor).within(MARGIN) for i, j in pairs),
        extremes=stats.paired(rows[:, first], rows[:, last], len(pairs), floor=floor),  # the best class less the worst
        original_below=names[published < FLOOR],
        outside=names[(published < low) | (published > high)],  # the original's accuracy, of the prediction interval
    )


def judge(found: Found) -> Outcome:
    if len(found.rows) < SEVERAL:
        return "undecided"
    above = len(found.above) == len(RARE)
    if len(found.below) or (above and found.uniform):
        return "contradicted"
    return "supported" if above and any(d.above or d.below for d in found.apart) else "undecided"


def explain(found: Found) -> Answer:
    accuracies = ", ".join(
        f"{name} {percent(column.mean())} % ({percent(column.min())} to {percent(column.max())} %)"
        for name, column in zip(RARE, found.rows.T, strict=True)
    )
    floor, seeds = f"{100 * FLOOR:.0f} %", named([f"{float(f'{n:.2g}'):,.0f}" for n in found.needed])
    told = f"; to tell {named(found.rest)} from {floor} takes about {seeds} seeds" if len(found.rest) else ""
    below = f"shown to lie below {floor}: {named(found.below)}"
    shown = below if len(found.below) else f"shown to lie above {floor}: {named(found.above)}"
    return Answer(
        f"at β = {found.beta:g} {shown}; best class minus worst {interval(found.extremes)}{told}",
        f"At β = {found.beta:g}, {seeds_in_words(len(found.rows))} (mean, lowest and highest): {accuracies}. "
        f"{below.capitalize()}; above it: {named(found.above)}; the original's own below it: "
        f"{named(found.original_below)}. Best class minus worst: {interval(found.extremes)}.",
        "Classes of which the original's accuracy lies outside the 95 % prediction intervals of one more run (best "
        f"epoch), which hold together: {named(found.outside)}."
        if len(found.rows) > 1
        else "",
    )
