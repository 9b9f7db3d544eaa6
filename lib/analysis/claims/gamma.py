"""Claim 8: γ was not tuned (fixed at 1); tested as: another γ would have been better.

Rule: Supported if another γ is shown to be better than 1 at some β, contradicted if every other γ that was asked for,
from at least three seeds each and at two β or more, is shown to be worse than 1 or to lie within a point of it.
"""

from lib.analysis.claims.claim import MARGIN, SEVERAL, Answer, Evidence, Found, NotRun, Outcome
from lib.analysis.prose import interval, named, needed, of_seeds, power
from lib.analysis.statistics import accuracy, compare, one_image


def measure(evidence: Evidence) -> Found:
    pairs = {
        (beta, gamma): (runs, by_gamma[1.0])
        for beta, by_gamma in evidence.gammas.items()
        for gamma, runs in sorted(by_gamma.items())
        if gamma != 1 and runs and by_gamma.get(1.0)
    }
    if not pairs:
        raise NotRun("other values of gamma than 1")
    found = {name: compare(accuracy, *both, len(pairs), floor=one_image(both[0])) for name, both in pairs.items()}
    return Found(
        *(runs for both in pairs.values() for runs in both),
        together=found,  # gamma less gamma = 1, intervals that hold together
        # The same differences with 90 % intervals: two one-sided tests at 5 % each.
        singly=[compare(accuracy, *both, level=0.90, floor=one_image(both[0])) for both in pairs.values()],
        better=[name for name, d in found.items() if d.above and min(d.seeds) >= SEVERAL],
        missing=[(beta, gamma) for beta, own in evidence.gammas.items() for gamma in {1.0, *own} if not own.get(gamma)],
    )


def judge(found: Found) -> Outcome:
    if found.better:
        return "supported"
    several = min(n for d in found.singly for n in d.seeds) >= SEVERAL and len({beta for beta, _ in found.together}) > 1
    no_better = all(d.below or d.within(MARGIN) for d in found.singly)
    return "contradicted" if several and no_better and not found.missing else "undecided"


def explain(found: Found) -> Answer:
    differences = "; ".join(f"β = {b:g}, γ = {g:g}: {interval(d)}" for (b, g), d in found.together.items())
    largest = max(found.together.values(), key=lambda d: d.mean)
    names = ", ".join(f"γ = {gamma:g} at β = {beta:g}" for beta, gamma in found.better)
    tested = named([f"{beta:g}" for beta in sorted({beta for beta, _ in found.together})])
    none = f"at β = {tested} no other γ is shown to be better; the highest is {interval(largest)}"
    none += f"; {seeds}" if (seeds := needed(*found.together.values(), comparisons=len(found.together))) else ""
    return Answer(
        f"better than γ = 1: {names}" if found.better else none,
        f"Difference to γ = 1, simultaneous intervals: {differences} "
        f"({of_seeds(*found.singly)}).{power(*found.together.values(), comparisons=len(found.together))}",
    )
