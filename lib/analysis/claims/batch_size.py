"""Claim 1: Batch 32 instead of 128 helps, by allowing more updates.

Rule: ConvNet, all else equal, from at least three seeds each: supported if the difference is shown to be positive,
contradicted if negative. Mechanism: the control, batch 128 with four times the learning rate, has a quarter of
the updates of batch 32. Shown to lie within a point of it: more updates are not the reason. Shown to be worse: a larger
learning rate does not replace them.
"""

from lib.analysis.claims.claim import MARGIN, SEVERAL, Answer, Evidence, Found, NotRun, Outcome, Setting
from lib.analysis.prose import interval, of_seeds, power
from lib.analysis.statistics import accuracy, compare, one_image

SMALL, LARGE, CONTROL = Setting(0.01, 32), Setting(0.01, 128), Setting(0.04, 128)


def measure(evidence: Evidence) -> Found:
    small, large, control = (evidence.convnet.get(setting, {}) for setting in (SMALL, LARGE, CONTROL))
    if not small or not large:
        raise NotRun("the ConvNet with batch 32 and with batch 128")
    floor = one_image(small)
    return Found(
        small,
        large,
        control,
        gain=compare(accuracy, small, large, floor=floor),
        by_rate=compare(accuracy, control, large, floor=floor),  # the control less batch 128
        left=compare(accuracy, small, control, floor=floor),  # batch 32 less the control
        alike=compare(accuracy, small, control, level=0.90, floor=floor).within(MARGIN),
    )


def judge(found: Found) -> Outcome:
    if min(found.gain.seeds) < SEVERAL:
        return "undecided"
    return "supported" if found.gain.above else "contradicted" if found.gain.below else "undecided"


def explain(found: Found) -> Answer:
    gain = interval(found.gain)
    control = short = "the control, batch 128 with four times the rate, was not run: the reason is untested"
    if found.left.seeds[1]:
        reason = "whether more updates are the reason is undecided"
        if min(*found.left.seeds, *found.by_rate.seeds) < SEVERAL:
            reason += f", from fewer than {SEVERAL} seeds"
        elif found.left.above:
            reason = "a larger rate does not replace the updates" + (" fully" if found.by_rate.above else "")
        elif found.alike:
            reason = "a larger rate does as well without more updates"
        control = (
            f"Batch 128 with four times the rate minus batch 128: {interval(found.by_rate)}; batch 32 minus batch 128 "
            f"with four times the rate: {interval(found.left)} ({of_seeds(found.left)}). Thus {reason}"
        )
        short = f"over batch 128 with four times the rate {interval(found.left)}: {reason}"
    return Answer(
        f"{gain} with batch 32; {short}",
        f"Accuracy with batch 32 minus accuracy with batch 128: {gain} ({of_seeds(found.gain)}).{power(found.gain)}",
        "The original states no accuracy for batch 128.",
        f"{control[0].upper()}{control[1:]}.",
    )
