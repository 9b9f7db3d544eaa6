"""Sentences about comparisons of seeds, betas, draws and settings."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from lib.analysis.betas import beta_groups
from lib.analysis.claims import Claim, Setting, Verdict
from lib.analysis.claims.evidence import shared_seeds
from lib.analysis.claims.table import distance
from lib.analysis.prose import points, seeds_in_words
from lib.analysis.statistics import counting_variance, equivalent, paired_difference, prediction_interval
from lib.analysis.tables import difference, percent, with_interval
from lib.training import Record

Runs = Mapping[int, Record]
VERDICTS = ("supported", "contradicted", "undecided")


def spread(betas: Sequence[float], values: np.ndarray, per_class: Sequence[int], margin: float, images: int) -> str:
    """How much beta changes beside what the seed changes, up to the largest published beta, 0.99.

    Args:
        values: accuracies [betas, seeds, C] of one epoch each, fractions; paired by seed.
        per_class: training images per class.
        margin: difference in accuracy that counts as none.
        images: of the test set.
    """
    groups = [[beta for beta in group if beta <= 0.99] for group in beta_groups(per_class, betas)]
    groups = [group for group in groups if group]
    accuracy = values.mean(axis=2)[[list(betas).index(group[0]) for group in groups]]  # [groups, seeds]
    n = values.shape[1]
    if n < 2 or len(groups) < 2:
        return "With one seed, or one beta, nothing can be said about the spread over seeds beside that over β."
    over_seeds = np.sqrt(accuracy.var(axis=1, ddof=1).mean())
    over_betas = accuracy.mean(axis=1).std(ddof=1)
    alike, largest = equivalent(accuracy, margin, floor=1 / images)
    named = "; ".join(f"{group[0]:g} to {group[-1]:g}" if len(group) > 1 else f"{group[0]:g}" for group in groups)
    return (
        f"Up to β = 0.99 there are {len(groups)} different weightings ({named}). Runs of one β that differ in the seed "
        f"alone vary by {100 * over_seeds:.2f} points (standard deviation), so means of {n} of them by "
        f"{100 * over_seeds / np.sqrt(n):.2f}; the means over β vary by {100 * over_betas:.2f}. **Equivalence** within "
        f"±{100 * margin:g} points of each to each (two one-sided t tests at 5 %, the margin fixed beforehand): "
        f"{'shown' if alike else 'not shown'}. The largest difference is {difference(largest)} points, with its 90 % "
        "interval."
    )


def clean_choice_table(validated: Mapping[float, Runs]) -> pd.DataFrame:
    """One row per beta of the sweep with a split held out: what the split says, and the test set."""
    rows = {}
    for beta, runs in validated.items():
        row = dict.fromkeys(("validation (%)", "test, last epoch (%)", "test, best epoch (%)"), "not run yet")
        if runs:
            row = {
                "validation (%)": with_interval([_validation(r) for r in runs.values()]),
                "test, last epoch (%)": with_interval([r.last.test.accuracy for r in runs.values()]),
                "test, best epoch (%)": with_interval([r.best.test.accuracy for r in runs.values()]),
            }
        rows[f"β = {beta:g}"] = row | {"seeds": len(runs)}
    return pd.DataFrame(rows).T.rename_axis("accuracy")


def _validation(record: Record) -> float:
    """Mean over classes at the last epoch: the split has the training set's long tail, the test set is balanced."""
    return float(np.nanmean(record.last.validation.per_class))


def clean_choice(validated: Mapping[float, Runs], published: Sequence[float]) -> str:
    """Beta chosen on a validation split, and what choosing on the test set gains.

    Args:
        validated: runs of one split, by beta. Those from the seeds that most betas share are looked at.
        published: the betas among which the original rule chose.
    """
    most = max(validated, key=lambda beta: len(validated[beta]), default=None)
    seeds, ran = shared_seeds(validated, most) if validated else ([], [])
    if len(ran) < 2:
        return "**Not run yet:** the sweep with a validation split."
    runs = {beta: [validated[beta][s] for s in seeds] for beta in ran}
    on_validation = {beta: np.mean([_validation(r) for r in runs[beta]]) for beta in ran}
    clean = max(on_validation, key=on_validation.get)
    text = _how_sure(runs[clean], on_validation) + (
        f" It chooses **β = {clean:g}**, which has {with_interval([r.last.test.accuracy for r in runs[clean]])} % on "
        f"the test set at the last epoch ({seeds_in_words(len(seeds))})."
    )
    on_test = {beta: np.mean([r.best.test.accuracy for r in runs[beta]]) for beta in ran if beta in published}
    if not on_test:
        return text
    peeked = max(on_test, key=on_test.get)
    reported, last, flattered = (
        [getattr(r, epoch).test.accuracy for r in runs[beta]]
        for beta, epoch in ((clean, "last"), (peeked, "last"), (peeked, "best"))
    )
    gain, by_epoch = paired_difference(flattered, reported), np.mean(flattered) - np.mean(last)
    return (
        f"{text} The original rule on the same runs (best epoch, and the best of the published β, on the test set) "
        f"chooses β = {peeked:g} and reports {with_interval(flattered)} %: peeking gains {difference(gain)} points, of "
        f"which {100 * by_epoch:+.1f} by the epoch."
    )


def _how_sure(runs: Sequence[Record], scores: Mapping[float, float]) -> str:
    """How much a split of that size can tell apart."""
    confusion = np.asarray(runs[0].last.validation.confusion)
    images = confusion.sum(axis=1)
    error = np.sqrt(sum(counting_variance(s, int(n)) for s, n in zip(_shares(confusion), images, strict=True)))
    return (
        f"With {percent(runs[0].experiment.validation)} % of every class held out the validation split has "
        f"{images.max()} images of the most frequent class and {images.min()} of the rarest: its mean over classes "
        f"has a standard error of {100 * error / len(images):.1f} points from its size alone, where the betas differ "
        f"by {100 * np.ptp(list(scores.values())):.1f}."
    )


def _shares(confusion: np.ndarray) -> np.ndarray:
    return confusion.diagonal() / np.maximum(confusion.sum(axis=1), 1)


def likeliest_reading(runs: Mapping[str, Runs], published: float) -> str:
    """Which readings of the ConvNet's settings the published accuracy agrees with."""
    ran = {name: [r.best.test.accuracy for r in by_seed.values()] for name, by_seed in runs.items() if by_seed}
    if not ran:
        return "**Not run yet:** the readings of the ConvNet's settings."
    text = ""
    if stated := ran.get("as stated"):
        low, high = prediction_interval(stated)
        text = f"The settings as stated end {points(np.mean(stated) - published)} the published {percent(published)} %"
        if low <= published <= high:
            return (
                f"{text}, which lies within what one more run of them would reach ({percent(low)} to {percent(high)} "
                f"%, 95 % prediction interval of {len(stated)} seeds): no other reading is needed."
            )
        text += ". "
    if len(ran) == 1:
        return text + "No other reading has been run."
    holding = [name for name, reached in ran.items() if _could_be(published, reached)]
    nearest = min(ran, key=lambda name: abs(np.mean(ran[name]) - published))
    missing = [name for name in runs if name not in ran]
    return (
        f"{text}Of {len(ran)} readings the nearest is **{nearest}** ({points(np.mean(ran[nearest]) - published)} it); "
        f"one more run could give the published accuracy under {', '.join(holding) or 'none with several runs'}."
        + (f" Not run yet: {', '.join(missing)}." if missing else "")
        + " This names the likeliest reading; nothing in the rest of the report is tuned by it."
    )


def _could_be(published: float, reached: Sequence[float]) -> bool:
    low, high = prediction_interval(reached)
    return bool(low <= published <= high)


def like_with_like(candidates: Mapping[Setting, tuple[Runs, Runs]], rows: tuple[Sequence, Sequence]) -> str:
    """Both losses under each of the settings; `rows` are the published ones of cross-entropy and the balanced loss."""
    said = []
    for setting, (ce, balanced) in sorted(candidates.items(), reverse=True):
        shared = sorted(ce.keys() & balanced.keys())
        if shared:
            a, b = ([runs[s].last.test.accuracy for s in shared] for runs in (balanced, ce))
            d = paired_difference(a, b)
            said.append(f"- {setting}: {difference(d)} points ({seeds_in_words(d.pairs)})")
    if not said:
        return "**Not run yet:** both losses under equal settings."
    published = np.mean(rows[1]) - np.mean(rows[0])
    best = min(candidates, key=lambda s: np.nan_to_num(distance(candidates[s][0], rows[0]), nan=np.inf))
    return (
        f"The published closing table has CB-Focal {100 * published:+.1f} points from cross-entropy. Trained alike, at "
        "the last epoch, it is:\n\n" + "\n".join(said) + f"\n\nNearest to the published cross-entropy row is {best}."
    )


def alike_headline(candidates: Mapping[Setting, tuple[Runs, Runs]], rows: tuple[Sequence, Sequence]) -> str:
    """The closing table's difference with both losses trained alike, and which settings its rows are nearest to.

    Of the settings with the most seeds those are taken that come nearest to the published balanced row.
    """
    pairs = {s: sorted(ce.keys() & balanced.keys()) for s, (ce, balanced) in candidates.items()}
    pairs = {s: seeds for s, seeds in pairs.items() if seeds}
    if not pairs:
        return ""
    to_ce, to_balanced = ({s: distance(candidates[s][i], rows[i]) for s in pairs} for i in (0, 1))
    ce_nearest, nearest = min(to_ce, key=to_ce.get), min(to_balanced, key=to_balanced.get)
    setting = max(pairs, key=lambda s: (len(pairs[s]), -to_balanced[s]))
    ce, balanced = candidates[setting]
    last = [[runs[s].last.test.accuracy for s in pairs[setting]] for runs in (balanced, ce)]
    d, published = paired_difference(*last), 100 * (np.mean(rows[1]) - np.mean(rows[0]))
    return (
        f"**Like with like:** trained alike ({setting}), CB-Focal less cross-entropy is {difference(d)} points at the "
        f"last epoch ({seeds_in_words(d.pairs)}); the published closing table has {published:+.1f}. "
        f"Its cross-entropy row is nearest to {ce_nearest} ({percent(to_ce[ce_nearest])} points away on average over "
        f"the classes), its CB-Focal row to {nearest} ({percent(to_balanced[nearest])})."
    )


def draws(by_draw: Mapping[int, tuple[Runs, Runs]]) -> str:
    """How much of the difference between two losses is the draw of the subset: {subset seed: (CE, balanced)}."""
    gains, within, sizes = {}, [], []
    for draw, (ce, balanced) in by_draw.items():
        shared = sorted(ce.keys() & balanced.keys())
        if shared:
            d = [balanced[s].last.test.accuracy - ce[s].last.test.accuracy for s in shared]
            gains[draw] = float(np.mean(d))
            sizes.append(len(d))
            within += [np.var(d, ddof=1)] if len(d) > 1 else []
    if len(gains) < 2:
        return "**Not run yet:** other draws of the subset."
    means = list(gains.values())
    text = (
        f"Over {len(gains)} draws of the subset the balanced loss gains {100 * np.mean(means):+.1f} points on "
        f"average, from {100 * min(means):+.1f} to {100 * max(means):+.1f} (standard deviation "
        f"{100 * np.std(means, ddof=1):.1f})"
    )
    if within:
        chance = np.sqrt(np.mean(within) * np.mean([1 / n for n in sizes]))
        text += f"; from the seeds alone one would expect {100 * chance:.1f}"
    return text + "."


def claims_headline(ledger: Sequence[tuple[Claim, Verdict]]) -> str:
    """How the claims come out, in one sentence."""
    parts = []
    for verdict in VERDICTS:
        numbers = [str(claim.number) for claim, found in ledger if found.verdict == verdict]
        parts.append(f"{len(numbers)} {verdict}" + (f" ({', '.join(numbers)})" if numbers else ""))
    return f"**The write-up's {len(ledger)} claims,** held against these runs: {', '.join(parts)}."


def claims_by_verdict(ledger: Sequence[tuple[Claim, Verdict]]) -> list[str]:
    """For each verdict there is, the claims that have it, and why those were decided."""
    said = []
    for verdict in VERDICTS:
        statements = [_statement(claim, found) for claim, found in ledger if found.verdict == verdict]
        if statements:
            said.append(f"**{verdict.capitalize()}:** {' '.join(statements)}")
    return said


def _statement(claim: Claim, found: Verdict) -> str:
    why = "" if found.verdict == "undecided" else f" *{found.short[:1].upper()}{found.short[1:]}.*"
    return f"({claim.number}) {claim.statement}{why}"


def ledger_table(ledger: Sequence[tuple[Claim, Verdict]]) -> pd.DataFrame:
    """One row per claim: statement and verdict."""
    rows = [(claim.number, claim.statement, found.verdict) for claim, found in ledger]
    return pd.DataFrame(rows, columns=["", "claim", "verdict"]).set_index("")


def claims(ledger: Sequence[tuple[Claim, Verdict]]) -> str:
    """A paragraph for each claim: statement, verdict, figures, rule."""
    return "\n\n".join(
        f"**{claim.number}. {claim.statement}** *{found.verdict.capitalize()}.* {found.because} (Rule: {claim.rule})"
        for claim, found in ledger
    )
