"""Claim 1: batch 32 and batch 128."""

from dataclasses import dataclass

from lib.analysis.claims.claim import Claim, Outcome, interval
from lib.analysis.claims.evidence import Evidence, NotRun, accuracy, by_seed, one_image, records_of
from lib.analysis.prose import seeds_in_words
from lib.analysis.statistics import Difference, paired_difference
from lib.training import Record


@dataclass(frozen=True)
class Found:
    gain: Difference  # of batch 32 over batch 128


def measure(evidence: Evidence) -> tuple[Found, list[Record]]:
    small, large = evidence.convnet.get(32, {}), evidence.convnet.get(128, {})
    if not small.keys() & large.keys():
        raise NotRun("the ConvNet with batch 32 and with batch 128 from the same seeds")
    rows = by_seed(accuracy, small, large)
    return Found(paired_difference(rows[0], rows[1], floor=one_image(small))), records_of(small, large)


def judge(found: Found) -> Outcome:
    return "supported" if found.gain.above else "contradicted" if found.gain.below else "undecided"


def explain(found: Found) -> tuple[str, str]:
    gain = interval(found.gain)
    return (
        f"Accuracy with batch 32 minus accuracy with batch 128, {seeds_in_words(found.gain.pairs)}: {gain}. The rule "
        "does not test whether the number of updates is the reason.",
        f"{gain} with batch 32",
    )


STATEMENT = "Batch 32 instead of 128 helps, by allowing more updates."
RULE = (
    "ConvNet, all else equal: supported if the interval of the difference lies above zero, contradicted if it lies "
    "below."
)
CLAIM = Claim(1, STATEMENT, RULE, measure, judge, explain)
