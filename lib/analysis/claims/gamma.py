"""Claim 8: other values of gamma than 1."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lib.analysis.claims.claim import SEVERAL, Claim, Outcome, interval
from lib.analysis.claims.evidence import Evidence, NotRun, accuracy, by_seed, one_image, records_of, shared_seeds
from lib.analysis.prose import listed, seeds_in_words
from lib.analysis.statistics import Difference, contrasts
from lib.training import Record


@dataclass(frozen=True)
class Found:
    beta: float | None
    seeds: int
    together: Mapping[float, Difference]  # gamma less gamma = 1, intervals that hold together
    singly: Sequence[Difference]  # the same, each at 95 %
    missing: list[float]  # gammas without the shared seeds

    @property
    def better(self) -> list[float]:
        return [gamma for gamma, d in self.together.items() if d.above]


def measure(evidence: Evidence) -> tuple[Found, list[Record]]:
    runs = evidence.gammas
    seeds, ran = shared_seeds(runs, 1.0) if runs.get(1.0) else ([], [])
    others = sorted(gamma for gamma in runs if gamma in ran and gamma != 1)
    if not others:
        raise NotRun("other values of gamma than 1")
    scores = by_seed(accuracy, *(runs[gamma] for gamma in (1.0, *others)))
    pairs, floor = [(i, 0) for i in range(1, len(scores))], one_image(runs[1.0])
    together = contrasts(scores, pairs, comparisons=len(pairs), floor=floor)
    found = Found(
        beta=evidence.gamma_beta,
        seeds=len(seeds),
        together=dict(zip(others, together, strict=True)),
        singly=contrasts(scores, pairs, floor=floor),
        missing=sorted(gamma for gamma in runs if gamma not in ran),
    )
    return found, records_of(*({s: runs[gamma][s] for s in seeds} for gamma in (1.0, *others)))


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


STATEMENT = "γ was not tuned (fixed at 1)."
RULE = (
    "Read as: tuning would have improved the result. Supported if another γ is better than 1, contradicted if every "
    "other γ was run from at least three shared seeds and is worse."
)
CLAIM = Claim(8, STATEMENT, RULE, measure, judge, explain)
