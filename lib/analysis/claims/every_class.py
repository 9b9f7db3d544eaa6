"""Claim 3: class-balanced focal loss beside cross-entropy, class by class."""

from collections.abc import Mapping
from dataclasses import dataclass

from lib.analysis.claims.claim import Claim, Outcome, interval, named, resolution
from lib.analysis.claims.evidence import Evidence, NotRun, by_seed, one_image, per_class, records_of
from lib.analysis.prose import seeds_in_words
from lib.analysis.statistics import Difference, paired_difference
from lib.training import Record

EXCEPTION = "bird"


@dataclass(frozen=True)
class Found:
    singly: Mapping[str, Difference]  # balanced less cross-entropy by class, each at 95 %
    together: Mapping[str, Difference]  # the same, intervals that hold together
    mean: Difference

    @property
    def up(self) -> list[str]:
        return [name for name, d in self.together.items() if d.above]

    @property
    def down(self) -> list[str]:
        return [name for name, d in self.together.items() if d.below]


def measure(evidence: Evidence) -> tuple[Found, list[Record]]:
    runs, ce = evidence.balanced.get(evidence.chosen, {}), evidence.cross_entropy
    if not runs.keys() & ce.keys():
        raise NotRun(f"cross-entropy and the balanced loss at β = {evidence.chosen:g} from the same seeds")
    evidence.labels([EXCEPTION])  # raises where there is no such class
    names, (a, b), floor = evidence.classes, by_seed(per_class, runs, ce), one_image(runs, 1)

    def gains(comparisons: int) -> dict[str, Difference]:
        columns = zip(names, a.T, b.T, strict=True)
        return {name: paired_difference(x, y, comparisons=comparisons, floor=floor) for name, x, y in columns}

    mean = paired_difference(a.mean(axis=1), b.mean(axis=1), floor=one_image(runs))
    return Found(gains(1), gains(len(names)), mean), records_of(runs, ce)


def judge(found: Found) -> Outcome:
    if EXCEPTION in found.up or any(name != EXCEPTION for name in found.down):
        return "contradicted"
    others_rise = all(d.above for name, d in found.singly.items() if name != EXCEPTION)
    return "supported" if others_rise and found.singly[EXCEPTION].mean <= 0 else "undecided"


def explain(found: Found) -> tuple[str, str]:
    changed = f"higher for {named(found.up)}, lower for {named(found.down)}"
    rest = [name for name in found.together if name not in (*found.up, *found.down)]
    return (
        f"With equal settings, {seeds_in_words(found.mean.pairs)}: {changed}, no difference shown for {named(rest)}"
        f"{resolution(list(found.together.values()))}. Mean over the classes: {interval(found.mean)}.",
        changed,
    )


STATEMENT = "Compared with cross-entropy, CB-Focal improves every class except bird."
RULE = (
    "Class by class: supported if the nine other classes improve and bird does not; contradicted if one of the nine "
    "gets worse, or bird improves."
)
CLAIM = Claim(3, STATEMENT, RULE, measure, judge, explain)
