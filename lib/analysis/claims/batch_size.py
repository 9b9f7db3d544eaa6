"""Claim 1: Batch 32 instead of 128 helps, by allowing more updates.

Rule: ConvNet, all else equal: supported if the interval of the difference lies above zero, contradicted if it lies
below.
"""

from lib.analysis.claims.claim import Evidence, Found, NotRun, Outcome
from lib.analysis.prose import interval, seeds_in_words
from lib.analysis.statistics import accuracy, by_seed, one_image, paired_difference


def measure(evidence: Evidence) -> Found:
    small, large = evidence.convnet.get(32, {}), evidence.convnet.get(128, {})
    if not small.keys() & large.keys():
        raise NotRun("the ConvNet with batch 32 and with batch 128 from the same seeds")
    a, b = by_seed(accuracy, small, large)
    return Found(small, large, gain=paired_difference(a, b, floor=one_image(small)))


def judge(found: Found) -> Outcome:
    return "supported" if found.gain.above else "contradicted" if found.gain.below else "undecided"


def explain(found: Found) -> tuple[str, str]:
    gain = interval(found.gain)
    return (
        f"Accuracy with batch 32 minus accuracy with batch 128, {seeds_in_words(found.gain.pairs)}: {gain}. The rule "
        "does not test whether the number of updates is the reason.",
        f"{gain} with batch 32",
    )
