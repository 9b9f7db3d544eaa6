"""Sentences about what was compared: seeds, betas, draws, settings. Figures in, markdown out, as in lib.findings."""

from collections.abc import Hashable, Mapping, Sequence

import numpy as np
import pandas as pd

from lib.claims import Claim, Setting, Verdict
from lib.claims.table import distance
from lib.findings import listed, points, seeds_in_words
from lib.losses import neutral_betas
from lib.statistics import equivalent, paired_difference
from lib.tables import difference, percent, with_interval
from lib.training import Record

Runs = Mapping[int, Record]
VERDICTS = ("supported", "contradicted", "undecided")


def not_run(runs: Mapping[Hashable, Runs], seeds: Sequence[int]) -> str:
    """What was asked for and is not stored, as a sentence; "" when all is there."""
    missing = [(name, len(by_seed)) for name, by_seed in runs.items() if len(by_seed) < len(seeds)]
    if not missing:
        return ""
    said = ", ".join(f"{_name(name)} ({n or 'none'} of {len(seeds)})" for name, n in missing)
    return f"**Not run yet,** by setting and runs that are there: {said}."


def _name(name: Hashable) -> str:
    if isinstance(name, tuple):
        return " ".join(_name(part) for part in name)
    return f"β = {name:g}" if isinstance(name, float) else str(name)


def spread(betas: Sequence[float], values: np.ndarray, per_class: Sequence[int], margin: float) -> str:
    """How much beta changes beside what the seed changes, up to the largest published beta, 0.99.

    Args:
        values: accuracies [betas, seeds, C] of one epoch each, fractions; paired by seed.
        per_class: training images per class.
        margin: difference in accuracy that counts as none.
    """
    alike = neutral_betas(per_class, betas)
    small = [i for i, beta in enumerate(betas) if beta <= 0.99 and beta not in alike[1:]]
    n, accuracy = values.shape[1], values.mean(axis=2)
    if n < 2 or len(small) < 2:
        return "With one seed, or one beta, nothing can be said about the spread over seeds beside that over β."
    over_seeds = np.sqrt(accuracy[small].var(axis=1, ddof=1).mean())
    over_betas = accuracy[small].mean(axis=1).std(ddof=1)
    first, others = small[0], small[1:]
    differences = {betas[i]: paired_difference(accuracy[i], accuracy[first], level=0.90) for i in others}
    same = [betas[i] for i in others if equivalent(accuracy[i], accuracy[first], margin)]
    rest = [beta for beta in differences if beta not in same]
    lines = "; ".join(f"β = {beta:g}: {difference(d)}" for beta, d in differences.items())
    verdict = f"shown to be equivalent to β = {betas[first]:g}: {listed(same) or 'none'}"
    if rest:
        verdict += f"; not shown: {listed(rest)}"
    return (
        f"Up to β = 0.99, {len(small)} betas differ in their weights. Their mean accuracies vary by "
        f"{100 * over_betas:.2f} points (standard deviation); runs of one β that differ in the seed alone vary by "
        f"{100 * over_seeds:.2f}. **Equivalence** within ±{100 * margin:g} points (two one-sided paired t tests at "
        f"5 %, the margin fixed beforehand; {n} seeds): {verdict}. Differences to β = {betas[first]:g} "
        f"in points, with 90 % intervals: {lines}."
    )


def clean_choice(validated: Mapping[float, Runs]) -> str:
    """Beta chosen on a validation split, and what choosing on the test set gains; runs of one split by beta."""
    ran = {beta: list(runs.values()) for beta, runs in validated.items() if runs}
    if len(ran) < 2:
        return "**Not run yet:** the sweep with a validation split."
    # The split has the training set's long tail; the mean over classes asks for the balanced test set's accuracy.
    on_validation = {b: np.mean([np.nanmean(r.last.validation.per_class) for r in runs]) for b, runs in ran.items()}
    on_test = {b: np.mean([r.best.test.accuracy for r in runs]) for b, runs in ran.items()}
    clean, peeked = max(on_validation, key=on_validation.get), max(on_test, key=on_test.get)
    reported = [r.last.test.accuracy for r in ran[clean]]
    flattered = [r.best.test.accuracy for r in ran[peeked]]
    share, n = ran[clean][0].experiment.validation, len(reported)
    return (
        f"With {percent(share)} % of every class held out, the validation split (mean over classes, last epoch, "
        f"{n} seeds) chooses **β = {clean:g}**, which has {with_interval(reported)} % on the test set at "
        f"the last epoch. The original rule on the same runs (best β and best epoch on the test set) chooses "
        f"β = {peeked:g} and reports {with_interval(flattered)} %: peeking gains "
        f"{100 * (np.mean(flattered) - np.mean(reported)):+.1f} points."
    )


def likeliest_reading(runs: Mapping[str, Runs], published: float) -> str:
    """Which reading of the ConvNet's settings comes nearest to the published accuracy."""
    ran = {name: [r.best.test.accuracy for r in by_seed.values()] for name, by_seed in runs.items() if by_seed}
    if not ran:
        return "**Not run yet:** the readings of the ConvNet's settings."
    nearest = min(ran, key=lambda name: abs(np.mean(ran[name]) - published))
    text = ""
    if "as stated" in ran:
        stated = np.mean(ran["as stated"])
        text = f"The settings as stated end {points(stated - published)} the published {percent(published)} %. "
    if len(ran) == 1:
        return text + "No other reading has been run."
    near = np.mean(ran[nearest]) - published
    missing = [name for name in runs if name not in ran]
    return (
        f"{text}Of {len(ran)} readings the nearest is **{nearest}** ({points(near)} it)."
        + (f" Not run yet: {', '.join(missing)}." if missing else "")
        + " This names the likeliest reading; nothing in the rest of the report is tuned by it."
    )


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


def draws(by_draw: Mapping[int, tuple[Runs, Runs]]) -> str:
    """How much of the difference between two losses is the draw of the subset: {subset seed: (CE, balanced)}."""
    gains, within = {}, []
    for draw, (ce, balanced) in by_draw.items():
        shared = sorted(ce.keys() & balanced.keys())
        if shared:
            d = [balanced[s].last.test.accuracy - ce[s].last.test.accuracy for s in shared]
            gains[draw] = float(np.mean(d))
            within += [np.var(d, ddof=1)] if len(d) > 1 else []
    if len(gains) < 2:
        return "**Not run yet:** other draws of the subset."
    values = list(gains.values())
    text = (
        f"Over {len(gains)} draws of the subset the balanced loss gains {100 * np.mean(values):+.1f} points on "
        f"average, from {100 * min(values):+.1f} to {100 * max(values):+.1f} (standard deviation "
        f"{100 * np.std(values, ddof=1):.1f})"
    )
    if within:
        text += f"; the seeds of one draw vary by {100 * np.sqrt(np.mean(within)):.1f}"
    return text + "."


def claims_headline(ledger: Sequence[tuple[Claim, Verdict]]) -> str:
    """How the claims come out, in one sentence."""
    parts = []
    for verdict in VERDICTS:
        numbers = [str(claim.number) for claim, found in ledger if found.verdict == verdict]
        parts.append(f"{len(numbers)} {verdict}" + (f" ({', '.join(numbers)})" if numbers else ""))
    return f"**The write-up's {len(ledger)} claims,** held against these runs: {', '.join(parts)}."


def claims_by_verdict(ledger: Sequence[tuple[Claim, Verdict]]) -> list[str]:
    """For each verdict there is, the claims that have it."""
    said = []
    for verdict in VERDICTS:
        statements = [f"({claim.number}) {claim.statement}" for claim, found in ledger if found.verdict == verdict]
        if statements:
            said.append(f"**{verdict.capitalize()}:** {' '.join(statements)}")
    return said


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
