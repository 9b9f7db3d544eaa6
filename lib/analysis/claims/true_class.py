"""Claim 6: Focal loss looks at the probability of the true class alone, cross-entropy sums over all classes.

Rule: A calculation: supported if only cross-entropy changes with the probabilities of the other classes; contradicted
if it does not change.
"""

import torch

from lib import losses
from lib.analysis.claims.claim import Answer, Evidence, Found, Outcome


def measure(evidence: Evidence) -> Found:
    # The true class is the first; its probability stays, those of the other classes change.
    probabilities = torch.tensor([[0.4, 0.3, 0.2, 0.1], [0.4, 0.2, 0.2, 0.2]])
    target, weights = torch.zeros(1, dtype=torch.long), torch.ones(4)

    def changes(name: str, **settings: float) -> bool:
        loss = getattr(losses, name)
        first, second = (loss(p.log()[None], target, weights, **settings).item() for p in probabilities)
        return abs(first - second) > 1e-6

    return Found(ce=changes("cross_entropy"), focal=changes("focal", gamma=1.0))


def judge(found: Found) -> Outcome:
    return "contradicted" if not found.ce else "undecided" if found.focal else "supported"


def explain(found: Found) -> Answer:
    ce, focal = ("changes" if changed else "stays the same" for changed in (found.ce, found.focal))
    said = (
        "With the probability of the true class fixed at 0.4 and the rest distributed differently over the other "
        f"classes, cross-entropy {ce} and the focal loss {focal}"
    )
    if not found.ce and not found.focal:
        said += ": with one true class per image both depend on its probability alone, and neither sums over classes"
    short = "as calculated" if found.ce else "with one true class per image neither sums over classes"
    mechanism = "" if found.ce else "It was offered as the reason for claim 4, and cannot be."
    return Answer(short, f"{said}.", mechanism=mechanism)
