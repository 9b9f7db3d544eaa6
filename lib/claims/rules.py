"""The nine claims: from records to verdicts.

Every rule compares settings seed by seed (paired t intervals at 95 %, widened for the number of comparisons after
Bonferroni) and looks at the last epoch, so that nothing is chosen on the test set. "Undecided" is what few seeds
or missing runs come out as. The rules were fixed before the write-up's settings were run.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import torch

from lib.claims.evidence import Evidence, Verdict, accuracy, not_run, paired, per_class, values
from lib.claims.table import same_settings
from lib.findings import listed, names, seeds_in_words
from lib.losses import class_balanced_weights, neutral_betas
from lib.statistics import Difference, paired_difference
from lib.tables import difference, percent

#: Difference in accuracy that counts as none: one percentage point.
MARGIN = 0.01
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
    d = paired_difference(*paired(small, large, accuracy))
    verdict = "supported" if d.above else "contradicted" if d.below else "undecided"
    return Verdict(
        verdict,
        f"Batch 32 less batch 128, {seeds_in_words(d.pairs)}: {interval(d)} of accuracy.",
        _records(small, large),
    )


def chosen_is_best(evidence: Evidence) -> Verdict:
    """Claim 2."""
    chosen, betas = evidence.chosen, evidence.distinct_betas()
    if not evidence.balanced.get(chosen) or len(betas) < 2:
        return not_run(f"the sweep of beta, {chosen:g} among it")
    alike = neutral_betas(evidence.counts, betas)
    if chosen in alike or chosen not in betas:
        return Verdict("undecided", f"On these counts β = {chosen:g} gives the same class weights as smaller ones.")
    runs, others = evidence.balanced[chosen], [beta for beta in betas if beta != chosen]
    differences = {
        beta: paired_difference(*paired(runs, evidence.balanced[beta], accuracy), comparisons=len(others))
        for beta in others
    }
    rows = values(runs, per_class)
    empty = [k for k in range(rows.shape[1]) if not rows[:, k].any()]
    weights = class_balanced_weights(evidence.counts, chosen)
    said = (
        f"β = {chosen:g} less "
        + "; ".join(f"β = {_with_alike(beta, evidence)}: {interval(d)}" for beta, d in differences.items())
        + f". Its class weights differ by a factor of {weights.max() / weights.min():.3f} at most. "
        + (f"In no seed is an image recognised of {names(empty)}." if empty else "Every class keeps some accuracy.")
    )
    better = [beta for beta, d in differences.items() if d.below]
    if better:
        said += f" Better is β = {listed(better)}."
    best = all(d.above for d in differences.values()) and not empty
    verdict = "contradicted" if better or (empty and len(runs) > 1) else "supported" if best else "undecided"
    return Verdict(verdict, said, _records(*evidence.balanced.values()))


def _with_alike(beta: float, evidence: Evidence) -> str:
    """A beta, and how far the betas reach that share its weights."""
    alike = neutral_betas(evidence.counts, sorted(evidence.balanced))
    return f"{beta:g} (to {alike[-1]:g}, one computation)" if beta in alike and len(alike) > 1 else f"{beta:g}"


def every_class_but_one(evidence: Evidence) -> Verdict:
    """Claim 3."""
    runs, ce = evidence.balanced.get(evidence.chosen, {}), evidence.cross_entropy
    if not runs.keys() & ce.keys():
        return not_run(f"cross-entropy and the balanced loss at β = {evidence.chosen:g} from the same seeds")
    a, b = paired(runs, ce, per_class)
    classes = a.shape[1]
    differences = [paired_difference(a[:, k], b[:, k], comparisons=classes) for k in range(classes)]
    up = [k for k, d in enumerate(differences) if d.above]
    down = [k for k, d in enumerate(differences) if d.below]
    others = [k for k in range(classes) if k != _EXCEPTION]
    wrong = [k for k in others if k in down] + ([_EXCEPTION] if _EXCEPTION in up else [])
    supported = all(k in up for k in others) and differences[_EXCEPTION].mean <= 0
    return Verdict(
        "contradicted" if wrong else "supported" if supported else "undecided",
        f"Trained alike, {seeds_in_words(len(a))}: higher for {_named(up)}, lower for {_named(down)}, not told "
        f"apart for {_named([k for k in range(classes) if k not in up + down])}. On average over the classes "
        f"{interval(paired_difference(a.mean(axis=1), b.mean(axis=1)))}.",
        _records(runs, ce),
    )


def reweighting_regularises(evidence: Evidence) -> Verdict:
    """Claim 4."""
    runs, ce = evidence.balanced.get(evidence.chosen, {}), evidence.cross_entropy
    plain = evidence.balanced.get(0.0, {})
    if not (runs.keys() & ce.keys() and runs.keys() & plain.keys()):
        return not_run(f"cross-entropy, β = 0 and β = {evidence.chosen:g} from the same seeds")

    def gap(record) -> float:
        return float((record.train_per_class(record.last) - per_class(record))[list(_FREQUENT)].mean())

    by_loss = paired_difference(*paired(ce, runs, gap))
    by_weights = paired_difference(*paired(plain, runs, gap))
    if np.isnan([by_loss.mean, by_weights.mean]).any():
        return not_run("runs that keep the training accuracy by class")
    supported = by_loss.above and by_weights.above
    contradicted = by_loss.below or by_weights.below or by_weights.within(MARGIN)
    return Verdict(
        "supported" if supported else "contradicted" if contradicted else "undecided",
        f"Training less test accuracy of {names(_FREQUENT)} is {_gaps(ce, gap)} points under cross-entropy, "
        f"{_gaps(plain, gap)} under the focal loss without weights (β = 0), {_gaps(runs, gap)} at "
        f"β = {evidence.chosen:g}. The loss as a whole reduces it by {interval(by_loss)}, its weights alone by "
        f"{interval(by_weights)}, {seeds_in_words(by_weights.pairs)}.",
        _records(runs, ce, plain),
    )


def _gaps(runs, gap: Callable) -> str:
    return f"{100 * values(runs, gap).mean():.1f}"


def never_monotone(evidence: Evidence) -> Verdict:
    """Claim 5."""
    betas = evidence.distinct_betas()
    if len(betas) < 3:
        return not_run("at least three betas of different weights")
    seeds = sorted(set.intersection(*(set(evidence.balanced[beta]) for beta in betas)))
    if not seeds:
        return not_run("the betas from the same seeds")
    rows = np.array([[per_class(evidence.balanced[beta][s]) for s in seeds] for beta in betas])  # [betas, seeds, C]
    classes = rows.shape[2]
    pairs = list(combinations(range(len(betas)), 2))
    monotone, not_monotone = [], []
    for k in range(classes):
        steps = [paired_difference(rows[j, :, k], rows[i, :, k], comparisons=len(pairs) * classes) for i, j in pairs]
        rises, falls = any(d.above for d in steps), any(d.below for d in steps)
        means = np.diff(rows[:, :, k].mean(axis=1))
        if rises and falls:
            not_monotone.append(k)
        elif (rises and (means >= 0).all()) or (falls and (means <= 0).all()):
            monotone.append(k)
    return Verdict(
        "contradicted" if monotone else "supported" if len(not_monotone) == classes else "undecided",
        f"Of the {len(evidence.published_betas)} betas {len(betas)} differ in their weights "
        f"({listed(betas)}); {seeds_in_words(len(seeds))}. Shown to rise or fall throughout: {_named(monotone)}; "
        f"shown to do both: {_named(not_monotone)}. For the others the seeds leave it open.",
        _records(*(evidence.balanced[beta] for beta in betas)),
    )


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
    return Verdict(verdict, said + ".")


def rare_classes_are_kept(evidence: Evidence) -> Verdict:
    """Claim 7."""
    runs = evidence.balanced.get(evidence.chosen, {})
    if not runs:
        return not_run(f"the balanced loss at β = {evidence.chosen:g}")
    rows = values(runs, per_class)[:, list(_RARE)]
    never = [k for k, column in zip(_RARE, rows.T, strict=True) if not column.any()]
    always = bool((rows >= _ONE_IMAGE).all())
    order = rows.mean(axis=0).argsort()
    apart = paired_difference(rows[:, order[-1]], rows[:, order[0]])
    several = len(rows) > 1
    verdict = "undecided"
    if several and (never or apart.within(MARGIN)):
        verdict = "contradicted"
    elif several and always and apart.above:
        verdict = "supported"
    accuracies = ", ".join(
        f"{names([k])} {percent(m)} % ({percent(lo)} to {percent(hi)} %)"
        for k, m, lo, hi in zip(_RARE, rows.mean(0), rows.min(0), rows.max(0), strict=True)
    )
    return Verdict(
        verdict,
        f"At β = {evidence.chosen:g}, {seeds_in_words(len(rows))} (lowest and highest): {accuracies}. The best and the "
        f"worst lie {interval(apart)} apart."
        + (f" In no seed is an image recognised of {names(never)}." if never else ""),
        _records(runs),
    )


def gamma_untuned(evidence: Evidence) -> Verdict:
    """Claim 8."""
    fixed = evidence.gammas.get(1.0, {})
    others = {gamma: runs for gamma, runs in evidence.gammas.items() if gamma != 1 and runs.keys() & fixed.keys()}
    if not others:
        return not_run("other values of gamma than 1")
    differences = {
        gamma: paired_difference(*paired(runs, fixed, accuracy), comparisons=len(others))
        for gamma, runs in sorted(others.items())
    }
    better = [gamma for gamma, d in differences.items() if d.above]
    best = all(d.below for d in differences.values())
    return Verdict(
        "supported" if better else "contradicted" if best else "undecided",
        "Less γ = 1: " + "; ".join(f"γ = {gamma:g}: {interval(d)}" for gamma, d in differences.items()) + ".",
        _records(fixed, *others.values()),
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
        "Supported if every other β is below it and no class is empty; contradicted if one is above it, or a "
        "class has no hit in any seed.",
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
        "Supported if the gap between training and test accuracy is smaller than under cross-entropy and than "
        "without weights (β = 0); contradicted if it is larger than either, or shown to be within one point of that "
        "without weights.",
        reweighting_regularises,
    ),
    Claim(
        5,
        "Accuracy as a function of β is not monotone for any class.",
        "Over the β of different weights: a class is shown not to be monotone by a rise and a fall, to be monotone by "
        "one of them and means that never turn. Supported if all classes are shown not to be, contradicted if one "
        "is shown to be.",
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
        "Supported if all three have hits in every seed and the best and the worst are apart; contradicted if one "
        "has none in any seed, or all are shown to be within one point.",
        rare_classes_are_kept,
    ),
    Claim(
        8,
        "γ was not tuned (fixed at 1).",
        "Read as: tuning would have paid. Supported if another γ is better than 1, contradicted if every other is "
        "worse.",
        gamma_untuned,
    ),
    Claim(
        9,
        "Implied by the closing table: both losses were trained with otherwise equal settings.",
        "Supported if, under the settings that fit the published CB-Focal row best, one more run of cross-entropy "
        "could have the published accuracy (95 % prediction interval); contradicted if not, and other settings fit the "
        "published cross-entropy row better.",
        same_settings,
    ),
)


def ledger(evidence: Evidence) -> list[tuple[Claim, Verdict]]:
    """Every claim with what the records say about it."""
    return [(claim, claim.test(evidence)) for claim in CLAIMS]
