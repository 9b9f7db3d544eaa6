"""Claim 8: γ was not tuned (fixed at 1).

Rule: Read as: tuning would have improved the result. Supported if another γ is better than 1, contradicted if every
other γ was run from at least three shared seeds and is worse.
"""

from lib.analysis.claims.claim import SEVERAL, Evidence, Found, NotRun, Outcome
from lib.analysis.prose import interval, listed, seeds_in_words
from lib.analysis.statistics import accuracy, by_seed, contrasts, one_image, shared_seeds


def measure(evidence: Evidence) -> Found:
    runs = evidence.gammas
    seeds, ran = shared_seeds(runs, 1.0) if runs.get(1.0) else ([], [])
    others = sorted(gamma for gamma in ran if gamma != 1)
    if not others:
        raise NotRun("other values of gamma than 1")
    compared = [{seed: runs[gamma][seed] for seed in seeds} for gamma in (1.0, *others)]
    scores, floor = by_seed(accuracy, *compared), one_image(runs[1.0])
    pairs = [(i, 0) for i in range(1, len(scores))]  # gamma less gamma = 1
    together = dict(zip(others, contrasts(scores, pairs, comparisons=len(pairs), floor=floor), strict=True))
    return Found(
        *compared,
        beta=evidence.gamma_beta,
        seeds=len(seeds),
        together=together,  # intervals that hold together
        singly=contrasts(scores, pairs, floor=floor),  # the same differences, each at 95 %
        better=[gamma for gamma, d in together.items() if d.above],
        missing=sorted(gamma for gamma in runs if gamma not in ran),
    )


def judge(found: Found) -> Outcome:
    if found.better:
        return "supported"
    complete = not found.missing and found.seeds >= SEVERAL
    return "contradicted" if complete and all(d.below for d in found.singly) else "undecided"


def explain(found: Found) -> tuple[str, str]:
    at = "" if found.beta is None else f"At β = {found.beta:g}, "
    differences = "; ".join(f"γ = {gamma:g}: {interval(d)}" for gamma, d in found.together.items())
    said = f"{at}{seeds_in_words(found.seeds)}, difference to γ = 1: {differences}."
    if found.missing:
        said += f" Not run yet from the same seeds: γ = {listed(found.missing)}."
    return said, f"γ = {listed(found.better)} is better" if found.better else "every other γ is worse"
