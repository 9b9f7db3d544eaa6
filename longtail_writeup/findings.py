"""Values that the report's sentences state: confusion matrices, the beta sweep, the closing table, draws, methods."""

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from types import SimpleNamespace

import numpy as np
import pandas as pd
from scipy.special import stdtrit
from torch import Tensor

from lib.analysis import logits
from lib.analysis import statistics as stats
from lib.analysis.balancing import treatments
from lib.analysis.claims import Evidence, Setting
from lib.analysis.claims.claim import SEVERAL
from lib.analysis.claims.closing_table import LOSSES, by_candidate, original_rows
from lib.analysis.methods import AFTER, METHODS, Found, error
from lib.system.errors import UserError
from lib.training import Record
from lib.training.evaluation import measure

#: Test errors (%) that the field's protocol has to reproduce before anything else is claimed (docs/analysis-plan.md).
ANCHORS = {"CE": (26.8, 29.7), "CB-Focal (sigmoid)": (24.8, 25.5), "LDAM-DRW (by weights)": (22.2, 23.0)}


def prior(matrix: np.ndarray, counts: Sequence[int]) -> SimpleNamespace:
    """Compare the more frequent half of the classes with the rarer one, on a balanced test set; shares are fractions.

    `matrix` is the confusion matrix [C, C] of a model that was trained on so many images per class.
    """
    images, accuracy = np.asarray(counts), matrix.diagonal() / matrix.sum(axis=1)
    frequent, rare = np.split(np.argsort(-images, kind="stable"), [len(images) // 2])
    predicted = matrix.sum(axis=0) / matrix.sum()
    by_class = pd.DataFrame({"images": images, "accuracy": accuracy})
    return SimpleNamespace(
        frequent=len(frequent),  # classes in the more frequent half
        rare=len(rare),
        images=images[frequent].sum() / images.sum(),  # training images in frequent classes
        predictions=predicted[frequent].sum(),  # predictions of a frequent class
        rare_as_frequent=matrix[np.ix_(rare, frequent)].sum() / matrix[rare].sum(),  # of the rare classes' test images
        frequent_as_rare=matrix[np.ix_(frequent, rare)].sum() / matrix[frequent].sum(),
        favourite=int(predicted.argmax()),  # the most frequent prediction
        favourite_share=predicted.max(),
        rank=by_class.corr("spearman").iloc[0, 1],  # of images and accuracy over the classes; NaN without spread
    )


def gain_at_best(
    treatments: Mapping[str, stats.Runs], ce: stats.Runs, fresh: Sequence[int] = (), unweighted: str | None = None
) -> SimpleNamespace:
    """Compare the betas of the highest mean accuracy at the last epoch with cross-entropy and with the others.

    `treatments` are runs by betas of equal weights, `unweighted` names those without an effect. The choice is made on
    the seeds that are not `fresh`; the gain is that of all seeds, with an interval that is corrected for the choice
    (Bonferroni). The fresh seeds alone are compared with the loss without weights, else with cross-entropy. Raises
    UserError without cross-entropy or a treatment.
    """
    least = min(2, max(map(len, treatments.values()), default=0))  # one lucky run is not the best of several
    ran = {name: runs for name, runs in treatments.items() if len(runs) >= least}
    if not least or not ce:
        raise UserError("There is no run of cross-entropy, or none of the balanced loss. Train them with runs=train.")

    def among(runs: stats.Runs, wanted: bool) -> stats.Runs:
        return {seed: record for seed, record in runs.items() if (seed in fresh) == wanted}

    mean = {name: stats.values(stats.accuracy, among(runs, False) or runs).mean() for name, runs in ran.items()}
    best = max(mean, key=lambda name: mean[name])
    classes = len(next(iter(ce.values())).counts)
    plain = ran[unweighted] if unweighted in ran and unweighted != best else ce
    floor, others = stats.one_image(ce), [name for name in ran if name != best]
    against = {name: stats.compare(stats.accuracy, ran[best], ran[name], len(others), floor=floor) for name in others}
    return SimpleNamespace(
        best=best,
        gain=stats.compare(stats.accuracy, ran[best], ce, len(ran), floor=floor),
        again=stats.compare(stats.accuracy, among(ran[best], True), among(plain, True), floor=floor),
        treatments=len(ran),
        tied=[name for name in others if not against[name].above],  # not told apart from the best
        unweighted=unweighted,
        # Gain over the loss without weights; None where that is the best one, or was not run.
        by_weights=against.get(unweighted or ""),
        classes=stats.compare(stats.class_accuracies, ran[best], ce, classes, floor=stats.one_image(ce, 1)),  # together
    )


def common_seeds(*settings: stats.Runs) -> list[int]:
    """Return the seeds that all of some settings have, ascending."""
    return sorted(set.intersection(*map(set, settings))) if settings else []


def learned(records: Sequence[Record]) -> SimpleNamespace | None:
    """Training accuracy by class in the last epoch, beside the test accuracy of the same runs; None if not kept.

    Of the final weights, without augmentation, where three runs keep it; else the means over the epoch, on augmented
    images.
    """
    final = [record for record in records if record.final_train_correct]
    if enough := len(final) >= SEVERAL:
        records = final
    trained = [r.final_train_correct if enough else r.last.train_hits for r in records]
    if not all(trained):
        return None
    correct, counts = np.array(trained, dtype=float), np.array([record.counts for record in records])
    return SimpleNamespace(
        seeds=len(records),
        final=enough,
        images=(correct.sum(axis=1) / counts.sum(axis=1)).mean(),  # over all training images
        by_class=(correct / counts).mean(axis=0),
        tested=stats.per_class(records, rule="last").mean(),
    )


def adjustment(
    by_seed: logits.Logits, labels: Tensor, counts: Sequence[int], best: stats.Runs | None = None
) -> SimpleNamespace:
    """Compare the accuracy of some runs after logit adjustment (tau 1) with that before, in pairs; {seed: [N, C]}.

    `best` are runs of another setting, whose accuracy on the same seeds is returned too; NaN where one is missing.
    """
    before = [measure(z, labels) for z in by_seed.values()]
    after = [measure(logits.adjusted(z, counts), labels) for z in by_seed.values()]
    same = [best[seed] for seed in by_seed if seed in best] if best else []
    return SimpleNamespace(
        change=stats.paired([e.accuracy for e in after], [e.accuracy for e in before], floor=1 / len(labels)),
        before=np.mean([e.per_class for e in before], axis=0),  # accuracy by class
        after=np.mean([e.per_class for e in after], axis=0),
        best=float(np.mean([*map(stats.accuracy, same)])) if len(same) == len(by_seed) else np.nan,
    )


def fitting(evidence: Evidence) -> list[list[Setting]]:
    """Candidates that fit each row of the closing table, cross-entropy's first."""
    fits = by_candidate(evidence)[2]
    return [[each for each in fits.index if fits[loss][each]] for loss in LOSSES]


def closing_panels(evidence: Evidence) -> dict[str, dict[str, np.ndarray]]:
    """Accuracies [seeds, C] at the best epoch by candidate and loss; a candidate's name says which rows fit it."""
    found: dict[str, dict[str, np.ndarray]] = {}
    *_, fits = by_candidate(evidence)
    for setting, pair in evidence.candidates.items():
        fit = [loss for loss in LOSSES if not evidence.departure and fits[loss][setting]]
        name = f"{setting}\nfits {' and '.join(fit)}" if fit else str(setting)
        found[name] = {loss: stats.per_class(list(runs.values())) for loss, runs in zip(LOSSES, pair, strict=True)}
    return found


def equal_settings(evidence: Evidence) -> SimpleNamespace:
    """Compare both losses under one setting: of those with the most seeds, the nearest to the original's balanced row.

    Raises UserError where no candidate has runs of both losses.
    """
    ran = {setting: pair for setting, pair in evidence.candidates.items() if all(pair)}
    if not ran:
        raise UserError("No candidate has runs of both losses. Train them with the parameter runs=train.")
    away = by_candidate(evidence)[0].loc[list(ran)].fillna(np.inf)
    ce, balanced = (away[loss].idxmin() for loss in LOSSES)
    setting = max(ran, key=lambda each: (min(map(len, ran[each])), -away["CB-Focal"][each]))
    rows, pair = [float(row.mean()) for row in original_rows(evidence)], ran[setting][::-1]
    return SimpleNamespace(
        setting=setting,
        gain=stats.compare(stats.best_accuracy, *pair),  # at the best epoch, the original's rule
        predicted=stats.compare(stats.best_accuracy, *pair, one_more=True),  # of one more pair
        rows=rows,  # the original's means over the classes: cross-entropy, CB-Focal
        original=rows[1] - rows[0],
        ce=(ce, away["CE"][ce]),  # the setting nearest to the original's row, and its distance
        balanced=(balanced, away["CB-Focal"][balanced]),
    )


def _rate(runs: stats.Runs) -> float:
    return next(iter(runs.values())).experiment.learning_rate


def by_form(forms: Mapping[str, stats.Runs], betas: Sequence[float]) -> SimpleNamespace | None:
    """Compare the forms of `plans.rescaled` at the best beta by count with the first of them, and with each other.

    Returns None where a form has fewer than two runs, or no beta has three forms.
    """
    base = next(iter(forms))
    names = ("by count", "by weights", "by count, rescaled rate")
    keys = {beta: [f"β = {beta:g}, {name}" for name in names] for beta in betas}
    by_beta = {beta: [forms[key] for key in own] for beta, own in keys.items() if forms.keys() >= {*own}}
    if not by_beta or min(map(len, [forms[base], *(runs for row in by_beta.values() for runs in row)])) < 2:
        return None
    beta = max(by_beta, key=lambda each: stats.values(stats.accuracy, by_beta[each][0]).mean())
    count, *kept = by_beta[beta]
    shared = common_seeds(forms[base], *by_beta[beta])
    first, *others = (
        np.mean([stats.accuracy(runs[seed]) for seed in shared]) if shared else np.nan
        for runs in (forms[base], *by_beta[beta])
    )
    return SimpleNamespace(
        base=base,
        beta=beta,
        betas=len(by_beta),
        # Mean class weight of a training image, which the rate of the third form is divided by.
        mean_weight=_rate(count) / _rate(kept[1]),
        shared=shared,  # seeds of all four settings, and the gains on them
        on_shared=[other - first for other in others],
        # All corrected for the choice of beta; what the other forms lose, for their number too.
        gains=[stats.compare(stats.accuracy, runs, forms[base], len(by_beta)) for runs in by_beta[beta]],
        lost=[stats.compare(stats.accuracy, count, runs, len(kept) * len(by_beta)) for runs in kept],
    )


def spread(by_beta: Mapping[float, stats.Runs], counts: Sequence[int], margin: float) -> SimpleNamespace | None:
    """Compare the changes due to beta with those due to the seed, up to the original's largest beta, 0.99.

    Equivalent means that all pairs of betas with different weights are shown to differ by less than `margin` in
    accuracy at the last epoch: two one-sided t tests at 5 % (Schuirmann 1987), the same as 90 % intervals inside the
    margin. All pairs have to pass, so each is tested at its own level. Only seeds that all these betas have are
    compared, as groups of other seeds would differ by these too. Returns None with one such seed, or one weighting.
    """
    ran = treatments({beta: runs for beta, runs in by_beta.items() if beta <= 0.99 and len(runs) > 1}, counts)
    seeds = common_seeds(*ran.values()) if len(ran) > 1 else []
    if len(seeds) < 2:
        return None
    rows = [np.array([stats.accuracy(runs[seed]) for seed in seeds]) for runs in ran.values()]
    floor = stats.one_image(next(iter(ran.values())))
    differences = {
        (first[0], second[0]): stats.welch(b, a, level=0.90, floor=floor)
        for (first, a), (second, b) in combinations(zip(ran, rows, strict=True), 2)
    }
    largest = max(differences, key=lambda pair: abs(differences[pair].mean))
    return SimpleNamespace(
        groups=[*map(list, ran)],  # betas with different weights
        seeds=len(seeds),
        over_seeds=np.sqrt(np.mean([row.var(ddof=1) for row in rows])),  # standard deviation between runs of one beta
        over_betas=np.std([row.mean() for row in rows], ddof=1),  # and between the means of different betas
        chance=np.sqrt(np.mean([row.var(ddof=1) / len(row) for row in rows])),  # of that, expected from the seeds alone
        equivalent=all(d.within(margin) for d in differences.values()),
        pair=largest,  # the two betas of the largest difference, and that: the larger beta minus the smaller one
        largest=differences[largest],
    )


def validation_accuracy(record: Record) -> float:
    """Mean over classes at the last epoch: the split has the training set's long tail, the test set is balanced."""
    return float(np.nanmean(record.last.validation.per_class)) if record.last.validation else np.nan


def clean_choice(validated: Mapping[float, stats.Runs]) -> SimpleNamespace | None:
    """Choose beta on a validation split, and by the original's rule: best epoch and best beta on the test set.

    Returns None before two betas were run.
    """
    ran = {beta: runs for beta, runs in validated.items() if runs}
    if len(ran) < 2:
        return None
    held_out, last, best = (
        {beta: stats.values(value, runs) for beta, runs in ran.items()}
        for value in (validation_accuracy, stats.accuracy, stats.best_accuracy)
    )
    scores = pd.Series({beta: found.mean() for beta, found in held_out.items()})
    clean, peeked = scores.idxmax(), max(ran, key=lambda beta: best[beta].mean())
    first = stats.records_of(ran[clean])[0].last.validation
    assert first is not None  # it was chosen by its split
    split = np.asarray(first.confusion)
    images = split.sum(axis=1)
    # Half an image is added, so that none of a thousand does not give a variance of zero.
    shares = (split.diagonal() + 0.5) / (images + 1)
    return SimpleNamespace(
        beta=clean,
        accuracies=last[clean],
        images=images,  # of the split, by class
        error=np.sqrt((shares * (1 - shares) / images).sum()) / len(images),  # of its mean, from its size alone
        range=np.ptp(scores),  # of its mean over the betas
        peeked=peeked,  # the choice by the original's rule, and the accuracies that it reports
        reported=best[peeked],
        # Of that rule, and the part of it by the epoch; the same runs where both choose the same beta.
        gain=(stats.paired if clean == peeked else stats.welch)(best[peeked], last[clean]),
        by_epoch=best[peeked].mean() - last[peeked].mean(),
    )


def draws(by_draw: Mapping[int, tuple[stats.Runs, stats.Runs]]) -> tuple[np.ndarray, float]:
    """Return the gain of the balanced loss on each draw of the subset that has both, {subset seed: (CE, balanced)}.

    The second value is the standard deviation of the gains expected from the seeds alone; NaN where no draw has two.
    """
    found = [stats.compare(stats.accuracy, balanced, ce) for ce, balanced in by_draw.values() if ce and balanced]
    within = [d.deviation**2 * sum(1 / n for n in d.seeds) for d in found if min(d.seeds) > 1]
    chance = np.sqrt(np.mean(within)) if within else np.nan
    return np.array([d.mean for d in found]), chance


def pooled(found: Found, value: Callable[[Record], float] = stats.accuracy) -> tuple[float, int]:
    """Standard deviation of a value of a run that all trained methods have in common, and its degrees of freedom.

    At least that of one test image; NaN and 0 where no method has two runs.
    """
    ran = [runs for name, runs in found.items() if name not in AFTER and len(runs) > 1]
    rows = [stats.values(value, runs) for runs in ran]
    if not (freedom := sum(len(row) - 1 for row in rows)):
        return np.nan, 0
    variance = sum(((row - row.mean()) ** 2).sum() for row in rows) / freedom
    return max(float(np.sqrt(variance)), stats.one_image(ran[0])), freedom


def half_interval(
    found: Found, runs: float, comparisons: int = 1, value: Callable[[Record], float] = stats.accuracy
) -> float:
    """Half the 95 % interval of a mean over so many runs, with the standard deviation that all methods have in common.

    For a difference of n and m runs, give 1 / (1 / n + 1 / m).
    """
    deviation, freedom = pooled(found, value)
    return float(stdtrit(freedom, 1 - 0.025 / comparisons) * deviation / np.sqrt(runs)) if freedom else np.nan


def gain(found: Found, name: str) -> stats.Difference:
    """Compare a method's accuracy at the last epoch with cross-entropy's; 95 % intervals that hold for all together.

    A post-hoc method corrects the very runs of cross-entropy, and is compared with them in pairs from three on; fewer
    say nothing about the spread of their differences, and are taken as independent runs, whose interval is wider.
    """
    a, b = (stats.values(stats.accuracy, found[each]) for each in (name, "CE"))
    others = sum(bool(runs) for each, runs in found.items() if each != "CE")
    if name in AFTER and len(a) > 2:
        return stats.paired(a, b, others, floor=stats.one_image(found["CE"]))
    mean, deviation = a.mean() - b.mean(), pooled(found)[0]
    half = half_interval(found, 1 / (1 / len(a) + 1 / len(b)), others)
    return stats.Difference(mean, mean - half, mean + half, (len(a), len(b)), deviation, np.nan)


def trained_seconds(found: Found) -> tuple[float, float]:
    """Return the seconds of all runs without shared epochs, and those with shared epochs counted once."""
    records = [record for name, runs in found.items() if name not in AFTER for record in runs.values()]
    once = {record.experiment.prefix(epoch.epoch): epoch.seconds for record in records for epoch in record.history}
    return sum(record.wall_time for record in records), sum(once.values())


def budget(found: Found) -> SimpleNamespace | None:
    """Return what moves an accuracy besides the method, as standard deviations; None where no method has two runs.

    Published results are single runs: two of one source can be told apart where they differ by more than the 95 %
    interval of a difference of two runs.
    """
    deviation, freedom = pooled(found)
    if not freedom:
        return None
    some = [record for name, runs in found.items() if name not in AFTER for record in runs.values()]
    p, images = np.array([r.last.test.per_class for r in some]), np.sum(some[0].last.test.confusion)
    chosen = [stats.best_accuracy(record) - stats.accuracy(record) for record in some]
    values = [(value, name, source) for name, m in METHODS.items() for value, source in m.published]
    pairs = [(a, b) for a, b in combinations(values, 2) if a[1] != b[1] and a[2] == b[2]]
    apart, seeds = half_interval(found, 0.5), max(map(len, found.values()))
    quantiles = float(stdtrit(freedom, [0.975, stats.POWER]).sum())
    return SimpleNamespace(
        seed=deviation,
        freedom=freedom,
        test_set=float(np.sqrt((p * (1 - p)).mean() / images)),  # of one accuracy, drawing the images
        epoch=float(np.mean(chosen)),  # gain of the best epoch on the test set
        epoch_deviation=float(np.std(chosen, ddof=1)),
        seeds=seeds,
        detectable=quantiles * deviation * math.sqrt(2 / seeds),
        needed=max(2, math.ceil(2 * (quantiles * deviation / 0.01) ** 2)),
        distinguishable=apart,
        pairs=len(pairs),
        undecided=[pair for pair in pairs if abs(pair[0][0] - pair[1][0]) / 100 < apart],
    )


def outside(found: Found) -> dict[str, float]:
    """Return by how much each trained method's errors lie above (or below: negative) the range of the published ones.

    Both rules are published, so the range is met by the interval from the best epoch to the last one. The range is that
    of ANCHORS, or of the values that were not published for other settings, which sources name after a comma.
    """
    away = {}
    for name, runs in found.items():
        values = ANCHORS.get(name) or [value for value, source in METHODS[name].published if "," not in source]
        known = [value / 100 for value in values]
        if runs and known and name not in AFTER:
            best = 1 - float(stats.values(stats.best_accuracy, runs).mean())
            last, low, high = float(np.mean([*map(error, runs.values())])), min(known), max(known)
            away[name] = best - high if best > high else min(last - low, 0.0)
    return away


def agreement(a: Found, b: Found, draws: int = 2000) -> SimpleNamespace | None:
    """Kendall's tau of two protocols' rankings of the trained methods that both have, with its 95 % interval.

    Means are drawn around those of the runs, from normal distributions with the pooled standard deviation of a run. As
    noise moves tau towards 0, the interval is the hull of the percentiles of their tau and of these reflected at the
    observed one: either alone misses the true tau too often (tests/unit/test_methods_table.py). None without methods
    that have several runs, with fewer than three methods, or where all are equal.
    """
    from scipy.stats import kendalltau

    names = [name for name in a if a[name] and b.get(name) and name not in AFTER]
    deviations = [pooled(own)[0] for own in (a, b)]
    known = [deviation for deviation in deviations if deviation > 0]
    if len(names) < 3 or not known:
        return None
    random, drawn, means = np.random.default_rng(0), [], []
    for own, deviation in zip((a, b), deviations, strict=True):
        mean = np.array([stats.values(stats.accuracy, own[name]).mean() for name in names])
        scale = (deviation if deviation > 0 else known[0]) / np.sqrt([len(own[name]) for name in names])
        means.append(mean)
        drawn.append(random.normal(mean, scale, (draws, len(names))))
    observed = kendalltau(*means).statistic
    taus = [kendalltau(x, y).statistic for x, y in zip(*drawn, strict=True)]
    ends = np.quantile(taus, [0.025, 0.975])
    low, high = np.clip([min(ends[0], 2 * observed - ends[1]), max(ends[1], 2 * observed - ends[0])], -1, 1)
    return None if np.isnan(observed) else SimpleNamespace(tau=observed, low=low, high=high, methods=names)


def further_training(found: Found) -> dict[str, float]:
    """Return the training that each method needs where cross-entropy's run is there, in runs of cross-entropy.

    Epochs of the last layer alone need no backward pass through the network and count a third.
    """
    ce, costs = next(iter(found["CE"].values())).experiment, {}
    for name, runs in found.items():
        e = next(iter(runs.values())).experiment if runs else ce
        shared = max((n for n in e.evaluated if n in ce.evaluated and e.prefix(n) == ce.prefix(n)), default=0)
        epochs = max(0, e.scheduled - shared) + (e.epochs - e.scheduled) / 3
        costs[name] = 0.0 if name in AFTER else epochs / ce.epochs
    return costs | {"CE": 0.0}
