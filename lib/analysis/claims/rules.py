"""The nine claims: from records to verdicts.

Settings are compared on the runs that share their seeds (`lib.analysis.statistics.contrasts`) and at the last
epoch, so that nothing is chosen on the test set; the closing table alone follows the write-up's best epoch. A verdict
that one of several differences can bring about uses intervals that hold together at 95 % (Bonferroni); one that needs
all of them tests each at 95 %. "Undecided" is what few seeds or missing runs come out as.

The rules were fixed on 2026-11-23, before the write-up's settings were run. A review amended them on 2026-11-24, when
20 such runs were stored: they became harder to satisfy (a floor of one image for the deviation, three seeds where no
hit is to count, all settings where the best or all of them are spoken of), claims 2, 4 and 5 take betas whose weights
agree for one, and claim 9 looks at the rows rather than at their means.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import torch

from lib.analysis.claims.evidence import (
    Evidence,
    Runs,
    Verdict,
    accuracy,
    not_run,
    one_image,
    paired,
    per_class,
    shared_seeds,
    values,
)
from lib.analysis.claims.table import same_settings
from lib.analysis.prose import UNLEARNED, listed, names, seeds_in_words
from lib.analysis.statistics import Difference, contrasts, paired_difference
from lib.analysis.tables import difference, percent
from lib.losses import class_balanced_weights

#: Difference in accuracy that counts as none: one percentage point.
MARGIN = 0.01
#: Seeds from which "in no run" counts, and "the best of all".
SEVERAL = 3
_FREQUENT, _RARE, _EXCEPTION = (0, 1), (7, 8, 9), 2  # classes that the claims name
#: A class counts as learned at all from this accuracy on: one image of the test set's thousand.
_ONE_IMAGE = 0.001


@dataclass(frozen=True)
class Claim:
    """One statement of the write-up and how it is tested."""

    number: int
    statement: str
    rule: str
    test: Callable[[Evidence], Verdict]


def interval(d: Difference) -> str:
    """A difference of accuracies in a sentence."""
    words = f"{difference(d).replace(' [', ' points [', 1)}"
    return words if "[" in words else f"{words} points (one seed: no interval)"


def _records(*many) -> list:
    return [record for runs in many for record in runs.values()]


def smaller_batches(evidence: Evidence) -> Verdict:
    """Claim 1."""
    small, large = evidence.convnet.get(32, {}), evidence.convnet.get(128, {})
    if not small.keys() & large.keys():
        return not_run("the ConvNet with batch 32 and with batch 128 from the same seeds")
    d = paired_difference(*paired(small, large, accuracy), floor=one_image(small))
    verdict = "supported" if d.above else "contradicted" if d.below else "undecided"
    return Verdict(
        verdict,
        f"Batch 32 less batch 128, {seeds_in_words(d.pairs)}: {interval(d)} of accuracy. Whether the number of "
        "updates is the reason is not tested.",
        _records(small, large),
        short=f"{interval(d)} with batch 32",
    )


def chosen_is_best(evidence: Evidence) -> Verdict:
    """Claim 2."""
    chosen = evidence.chosen
    if not evidence.balanced.get(chosen):
        return not_run(f"the sweep of beta, {chosen:g} among it")
    treatments = evidence.treatments()
    own = next(group for group in treatments if chosen in group)
    seeds, ran = shared_seeds(treatments, own)
    others = [group for group in ran if group != own]
    missing = [group for group in treatments if group not in ran]
    weights = class_balanced_weights(evidence.counts, chosen)
    said = f"At β = {chosen:g} the largest class weight is {_times(weights)} the smallest"
    if len(own) > 1:
        alike = [beta for beta in own if beta != chosen]
        said += f", as at β = {listed(alike)} to within a thousandth: no run can tell them apart"
    said += ". "
    empty: list[int] = []
    better, best = [], False
    if others:
        runs = [values({s: treatments[group][s] for s in seeds}, per_class) for group in (own, *others)]
        floor = one_image(treatments[own])
        scores, pairs = [rows.mean(axis=1) for rows in runs], [(0, i) for i in range(1, len(runs))]
        together = dict(zip(others, contrasts(scores, pairs, comparisons=len(pairs), floor=floor), strict=True))
        singly = contrasts(scores, pairs, floor=floor)
        better = [group[0] for group, d in together.items() if d.below]
        best = not missing and len(seeds) >= SEVERAL and all(d.above for d in singly)
        said += f"β = {chosen:g} less " + "; ".join(f"β = {_span(g)}: {interval(d)}" for g, d in together.items()) + "."
        empty = [k for k in range(runs[0].shape[1]) if not runs[0][:, k].any()]
        said += (
            f" In none of {seeds_in_words(len(seeds))} is an image recognised of {names(empty)}."
            if empty
            else " Every class keeps some accuracy."
        )
    if missing:
        said += f" Not run yet from the same seeds: β = {'; '.join(map(_span, missing))}."
    contradicted = len(own) > 1 or better or (empty and len(seeds) >= SEVERAL)
    verdict = "contradicted" if contradicted else "supported" if best and not empty else "undecided"
    if len(own) > 1:
        short = f"its class weights are those of smaller β: the largest is {_times(weights)} the smallest"
    elif better:
        short = f"better is β = {listed(better)}"
    else:
        short = f"no image is recognised of {names(empty)}" if empty else "every other β is below it"
    return Verdict(verdict, said, _records(*treatments.values()), short)


def _times(weights: torch.Tensor) -> str:
    """How many times the smallest weight the largest is."""
    ratio = float(weights.max() / weights.min())
    return f"{ratio:.2f} times" if ratio > 1.1 else f"{ratio:.6f} times"


def _span(group: Sequence[float]) -> str:
    return f"{group[0]:g}" if len(group) == 1 else f"{group[0]:g} to {group[-1]:g}"


def every_class_but_one(evidence: Evidence) -> Verdict:
    """Claim 3."""
    runs, ce = evidence.balanced.get(evidence.chosen, {}), evidence.cross_entropy
    if not runs.keys() & ce.keys():
        return not_run(f"cross-entropy and the balanced loss at β = {evidence.chosen:g} from the same seeds")
    a, b = paired(runs, ce, per_class)
    classes, floor = a.shape[1], one_image(runs, 1)
    singly = [paired_difference(a[:, k], b[:, k], floor=floor) for k in range(classes)]
    together = [paired_difference(a[:, k], b[:, k], comparisons=classes, floor=floor) for k in range(classes)]
    up = [k for k, d in enumerate(together) if d.above]
    down = [k for k, d in enumerate(together) if d.below]
    others = [k for k in range(classes) if k != _EXCEPTION]
    wrong = [k for k in others if k in down] + ([_EXCEPTION] if _EXCEPTION in up else [])
    supported = all(singly[k].above for k in others) and singly[_EXCEPTION].mean <= 0
    mean = paired_difference(a.mean(axis=1), b.mean(axis=1), floor=one_image(runs))
    return Verdict(
        "contradicted" if wrong else "supported" if supported else "undecided",
        f"Trained alike, {seeds_in_words(len(a))}: higher for {_named(up)}, lower for {_named(down)}, not told "
        f"apart for {_named([k for k in range(classes) if k not in up + down])}"
        f"{_resolution(together)}. On average over the classes {interval(mean)}.",
        _records(runs, ce),
        short=f"higher for {_named(up)}, lower for {_named(down)}",
    )


def _resolution(differences: Sequence[Difference]) -> str:
    """How large a difference has to be for its interval to leave zero, as half a sentence."""
    halves = [d.high - d.mean for d in differences]
    if np.isnan(halves).any():
        return ""
    return f" (a difference has to exceed {100 * float(np.median(halves)):.0f} points, in the median class, to show)"


def reweighting_regularises(evidence: Evidence) -> Verdict:
    """Claim 4."""
    ce, plain = evidence.cross_entropy, evidence.balanced.get(0.0, {})
    if not ce or not plain:
        return not_run("cross-entropy and β = 0 from the same seeds")
    said, beta = "", evidence.chosen
    if any({0.0, beta} <= set(group) for group in evidence.treatments()):
        said = f"At β = {beta:g} nothing is reweighted: its weights are those of β = 0 to within a thousandth. "
        beta = max(evidence.published_betas)
        said += f"So β = {beta:g} is looked at. "
    runs = evidence.balanced.get(beta, {})
    if not (runs.keys() & ce.keys() and runs.keys() & plain.keys()):
        return not_run(f"cross-entropy, β = 0 and β = {beta:g} from the same seeds")

    def gap(record) -> float:
        return float((record.train_per_class(record.last) - per_class(record))[list(_FREQUENT)].mean())

    seeds = sorted(runs.keys() & ce.keys() & plain.keys())
    if not seeds or np.isnan([gap(r) for r in _records(runs, ce, plain)]).any():
        return not_run("runs from the same seeds that keep the training accuracy by class")
    gaps = [[gap(which[s]) for s in seeds] for which in (ce, plain, runs)]
    floor = one_image(runs, len(_FREQUENT))
    pairs = [(0, 2), (1, 2)]
    singly, (by_loss, by_weights) = contrasts(gaps, pairs, floor=floor), contrasts(gaps, pairs, 0.95, 2, floor)
    overfits = paired_difference(gaps[0], np.zeros(len(seeds)), floor=floor).low > MARGIN
    none = any(d.within(MARGIN) for d in (by_weights,))
    supported = overfits and all(d.above for d in singly) and not none
    contradicted = by_loss.below or by_weights.below or (overfits and none)
    said += (
        f"Training less test accuracy of {names(_FREQUENT)} is {100 * np.mean(gaps[0]):.1f} points under "
        f"cross-entropy, {100 * np.mean(gaps[1]):.1f} under the focal loss without weights (β = 0), "
        f"{100 * np.mean(gaps[2]):.1f} at β = {beta:g}. The loss as a whole reduces it by {interval(by_loss)}, its "
        f"weights alone by {interval(by_weights)}, {seeds_in_words(len(seeds))}. Training accuracy is the epoch's own: "
        "on augmented images, while the weights move."
    )
    if not overfits:
        said += " Cross-entropy is not shown to overfit these classes by more than a point: nothing to regularise."
    return Verdict(
        "contradicted" if contradicted else "supported" if supported else "undecided",
        said,
        _records(runs, ce, plain),
        short=f"the weights reduce the gap between training and test by {interval(by_weights)}",
    )


def never_monotone(evidence: Evidence) -> Verdict:
    """Claim 5."""
    if not evidence.counts:
        return not_run("the sweep of beta")
    treatments = evidence.treatments()
    missing = [group for group, runs in treatments.items() if not runs]
    if missing or len(treatments) < 3:
        return not_run(f"three betas of different weights, all of those published (missing: {_spans(missing)})")
    groups = list(treatments)
    seeds = sorted(set.intersection(*(set(runs) for runs in treatments.values())))
    if not seeds:
        return not_run("the betas from the same seeds")
    rows = np.array([[per_class(treatments[group][s]) for s in seeds] for group in groups])  # [groups, seeds, C]
    floor = one_image(treatments[groups[0]], 1)
    found = [_shape(rows[:, :, k], floor, classes=rows.shape[2]) for k in range(rows.shape[2])]
    monotone, turning, empty = (
        [k for k, (shape, _) in enumerate(found) if shape == which] for which in ("monotone", "turning", "empty")
    )
    open_ = [k for k, (shape, _) in enumerate(found) if shape == "open"]
    said = (
        f"Of the {len(evidence.published_betas)} betas {len(groups)} differ in their weights "
        f"({_spans(groups)}); {seeds_in_words(len(seeds))}. Shown to rise or fall throughout: {_named(monotone)}; "
        f"shown to do both: {_named(turning)}; without a hit at any β: {_named(empty)}; left open by the seeds: "
        f"{_named(open_)}{_resolution([step for _, steps in found for step in steps])}."
    )
    supported = len(turning) == rows.shape[2]
    return Verdict(
        "contradicted" if monotone else "supported" if supported else "undecided",
        said,
        _records(*treatments.values()),
        short=f"monotone is {_named(monotone)}" if monotone else "each both rises and falls",
    )


def _spans(groups: Sequence[Sequence[float]]) -> str:
    return "; ".join(map(_span, groups)) or "none"


def _shape(rows: np.ndarray, floor: float, classes: int) -> tuple[str, list[Difference]]:
    """Whether one class's accuracies [groups, seeds] are shown to be monotone over beta, and all its steps."""
    if not rows.any():
        return "empty", []
    pairs = [(j, i) for i, j in combinations(range(len(rows)), 2)]  # later less earlier
    steps = contrasts(rows, pairs, comparisons=len(pairs), floor=floor)
    if any(d.above for d in steps) and any(d.below for d in steps):
        return "turning", steps
    # One class is enough to contradict, so all classes' steps hold together; each of a class's has to.
    surely = contrasts(rows, pairs, comparisons=classes * len(pairs), floor=floor)
    none_down = all(d.low > -MARGIN for d in contrasts(rows, pairs, comparisons=classes, floor=floor))
    none_up = all(d.high < MARGIN for d in contrasts(rows, pairs, comparisons=classes, floor=floor))
    rises, falls = none_down and any(d.above for d in surely), none_up and any(d.below for d in surely)
    return "monotone" if rises or falls else "open", steps


def only_the_true_class(evidence: Evidence) -> Verdict:
    """Claim 6: of the losses themselves, not of runs."""
    probability = torch.tensor([[0.4, 0.3, 0.2, 0.1], [0.4, 0.2, 0.2, 0.2]])  # one true class, two ways for the rest
    target, weights = torch.zeros(1, dtype=torch.long), torch.ones(4)

    def change(name: str, **settings: float) -> float:
        first, second = (evidence.losses[name](p.log()[None], target, weights, **settings).item() for p in probability)
        return abs(first - second)

    ce, focal = change("cross_entropy"), change("focal", gamma=1.0)
    looks_ce, looks_focal = ce > 1e-6, focal > 1e-6
    said = (
        "The probability of the true class held at 0.4 while the others share the rest differently, "
        f"cross-entropy {'changes' if looks_ce else 'stays the same'} and the focal loss "
        f"{'changes' if looks_focal else 'stays the same'}"
    )
    if not looks_ce and not looks_focal:
        said += (
            ": with one true class per image both are functions of its probability alone, and neither sums over classes"
        )
    verdict = "supported" if looks_ce and not looks_focal else "undecided" if looks_ce else "contradicted"
    short = "with one true class per image neither sums over classes" if verdict == "contradicted" else "as calculated"
    return Verdict(verdict, said + ".", short=short)


def rare_classes_are_kept(evidence: Evidence) -> Verdict:
    """Claim 7."""
    runs = evidence.balanced.get(evidence.chosen, {})
    if not runs:
        return not_run(f"the balanced loss at β = {evidence.chosen:g}")
    rows = values(runs, per_class)[:, list(_RARE)]
    never = [k for k, column in zip(_RARE, rows.T, strict=True) if not column.any()]
    always = bool((rows >= _ONE_IMAGE).all())
    order = list(rows.mean(axis=0).argsort()[::-1])
    pairs = [(order[0], order[1]), (order[1], order[2]), (order[0], order[2])]
    apart = contrasts(rows.T, pairs, comparisons=len(pairs), floor=one_image(runs, 1))
    uniform = all(d.within(MARGIN) for d in apart) and bool((rows.mean(axis=0) > UNLEARNED).all())
    several = len(rows) >= SEVERAL
    verdict = "undecided"
    if (several and never) or uniform:
        verdict = "contradicted"
    elif several and always and any(d.above for d in apart):
        verdict = "supported"
    accuracies = ", ".join(
        f"{names([k])} {percent(m)} % ({percent(lo)} to {percent(hi)} %)"
        for k, m, lo, hi in zip(_RARE, rows.mean(0), rows.min(0), rows.max(0), strict=True)
    )
    return Verdict(
        verdict,
        f"At β = {evidence.chosen:g}, {seeds_in_words(len(rows))} (lowest and highest): {accuracies}. The best and the "
        f"worst lie {interval(apart[-1])} apart."
        + (f" In none of {seeds_in_words(len(rows))} is an image recognised of {names(never)}." if never else ""),
        _records(runs),
        short=f"no image is recognised of {names(never)}" if never else accuracies,
    )


def gamma_untuned(evidence: Evidence) -> Verdict:
    """Claim 8."""
    if not evidence.gammas.get(1.0):
        return not_run("other values of gamma than 1")
    seeds, ran = shared_seeds(evidence.gammas, 1.0)
    others = sorted(gamma for gamma in ran if gamma != 1)
    if not others:
        return not_run("other values of gamma than 1")
    runs: Mapping[float, Runs] = {gamma: {s: evidence.gammas[gamma][s] for s in seeds} for gamma in (1.0, *others)}
    scores = [values(runs[gamma], accuracy) for gamma in (1.0, *others)]
    pairs, floor = [(i, 0) for i in range(1, len(scores))], one_image(runs[1.0])
    together = dict(zip(others, contrasts(scores, pairs, comparisons=len(pairs), floor=floor), strict=True))
    better = [gamma for gamma, d in together.items() if d.above]
    missing = sorted(gamma for gamma in evidence.gammas if gamma not in ran)
    best = not missing and len(seeds) >= SEVERAL and all(d.below for d in contrasts(scores, pairs, floor=floor))
    at = "" if evidence.gamma_beta is None else f"At β = {evidence.gamma_beta:g}, "
    said = f"{at}{seeds_in_words(len(seeds))}, less γ = 1: "
    said += "; ".join(f"γ = {gamma:g}: {interval(d)}" for gamma, d in together.items()) + "."
    if missing:
        said += f" Not run yet from the same seeds: γ = {listed(missing)}."
    return Verdict(
        "supported" if better else "contradicted" if best else "undecided",
        said,
        _records(*runs.values()),
        short=f"better is γ = {listed(better)}" if better else "every other is worse",
    )


def _named(classes: list[int]) -> str:
    return names(classes) if classes else "no class"


CLAIMS = (
    Claim(
        1,
        "Batch 32 instead of 128 helps, by allowing more updates.",
        "ConvNet, all else equal: supported if the interval of the difference lies above zero, contradicted if below.",
        smaller_batches,
    ),
    Claim(
        2,
        "β = 0.8 is the best of the eleven; it is chosen because every class keeps some accuracy.",
        "Supported if every other β was run from at least three shared seeds and is below it, and no class is empty; "
        "contradicted if one is above it, if another has the same weights to within a thousandth (it can be no better "
        "then), or if a class has no hit in any of at least three seeds.",
        chosen_is_best,
    ),
    Claim(
        3,
        "Compared with cross-entropy, CB-Focal improves every class except bird.",
        "Class by class: supported if the nine rise and bird does not; contradicted if one of the nine falls, or "
        "bird rises.",
        every_class_but_one,
    ),
    Claim(
        4,
        "Reweighting regularises the most frequent classes (airplane, automobile): less overfitting.",
        "Where cross-entropy is shown to overfit by more than a point: supported if the gap between training and test "
        "accuracy is smaller than under cross-entropy and than without weights (β = 0), contradicted if it is shown to "
        "be within one point of that without weights, which comes first; contradicted also if larger than either.",
        reweighting_regularises,
    ),
    Claim(
        5,
        "Accuracy as a function of β is not monotone for any class.",
        "Over the β of different weights: a class is shown not to be monotone by a rise and a fall, to be monotone by "
        "one of them where every step of more than a point the other way is excluded. Supported if all classes are "
        "shown not to be, contradicted if one is shown to be.",
        never_monotone,
    ),
    Claim(
        6,
        "Focal loss looks at the probability of the true class alone, cross-entropy sums over all classes.",
        "A calculation: supported if only cross-entropy changes when the other classes' probabilities do; contradicted "
        "if it does not change.",
        only_the_true_class,
    ),
    Claim(
        7,
        "Horse, ship and truck get non-zero accuracy under CB-Focal; uniform accuracy stays out of reach.",
        "With at least three seeds: supported if all three have hits in every one and two of them are apart, "
        "contradicted if one has no hit in any; contradicted also if all are above 5 % and within one point.",
        rare_classes_are_kept,
    ),
    Claim(
        8,
        "γ was not tuned (fixed at 1).",
        "Read as: tuning would have paid. Supported if another γ is better than 1, contradicted if every other was run "
        "from at least three shared seeds and is worse.",
        gamma_untuned,
    ),
    Claim(
        9,
        "Implied by the closing table: both losses were trained with otherwise equal settings.",
        "The noise of a row is the largest distance of a run to the mean of its setting's other runs (with fewer than "
        "three runs, the largest of all settings). Settings whose balanced row is, within that noise, as near to the "
        "published CB-Focal row as the nearest one could have made it. Supported if under one of them cross-entropy's "
        "mean row is within the noise of the published one, contradicted if under all of them it is farther than twice "
        "the noise; undecided before all candidates are run.",
        same_settings,
    ),
)


def ledger(evidence: Evidence) -> list[tuple[Claim, Verdict]]:
    """Every claim with what the records say about it."""
    return [(claim, claim.test(evidence)) for claim in CLAIMS]
