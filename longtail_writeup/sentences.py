"""Sentences of the report's chapters: each begins where a decision picks its words, and takes values from `lib`."""

from collections.abc import Mapping, Sequence
from types import SimpleNamespace

import numpy as np

from lib.analysis import statistics as stats
from lib.analysis.prose import interval, listed, named, of_seeds, points
from lib.analysis.tables import percent


def against_original(accuracies: Sequence[float], original: float) -> str:
    """Compare the mean accuracy of some runs with the original's, by the interval in which one more run would lie."""
    away = float(np.mean(accuracies)) - original
    low, high = stats.prediction_interval(accuracies)
    verdict = "thus reached" if away >= 0 else "thus not reached"
    if low <= original <= high:
        verdict = f"within what one more run would reach ({percent(low)} to {percent(high)} %)"
    return f"{points(away)} the original's {percent(original)} %, which is {verdict}"


def tail(gap: float, rarest: float) -> str:
    """Name what class-averaged training less test accuracy, and training accuracy of the rarest classes, say."""
    if gap > 0.05:
        return "What remains of the difference is overfitting."
    learned = "the rare classes are not learned, as by under-training" if rarest < 0.1 else "no sign of overfitting"
    return f"The difference over all images comes from the class frequencies; {learned}."


def best_gain(top: SimpleNamespace) -> str:
    """Open the sentence on the best of several weightings, from `findings.gain_at_best`."""
    if top.gain.above and top.matters:
        return f"β gains about {100 * top.gain.mean:.0f} points where it matters."
    return "No gain is shown to come from β." if top.gain.above else "No β is shown to gain."


def confirmed(again: stats.Difference) -> str:
    """Return the gain on fresh seeds, as a sentence."""
    if min(again.seeds) < 2:
        return " Fresh seeds to confirm it were not run."
    return f" Fresh seeds, run after that choice, give {interval(again)} ({of_seeds(again)})."


def level(top: SimpleNamespace) -> str:
    """Name the weightings that cannot be told apart from the best, as a sentence; "" where there is none."""
    return f" In mean accuracy β = {named(top.level)} cannot be told apart from it." if top.level else ""


def settings_lead(ce_rate: float, balanced_rate: float, departure: str) -> str:
    """Open the sentence on the closing table, from the learning rates nearest to its rows."""
    if departure or ce_rate == balanced_rate:
        return "Both losses with equal settings."
    times = round(max(ce_rate, balanced_rate) / min(ce_rate, balanced_rate))
    lower = "cross-entropy" if ce_rate < balanced_rate else "CB-Focal"
    return f"The closing table looks as if {lower} was trained at a {times}-fold smaller learning rate."


def against_table(gain: stats.Difference, predicted: stats.Difference, original: float) -> str:
    """Set a difference between both losses beside the original's, by the interval in which one more pair would lie."""
    lies = "inside" if predicted.low <= original <= predicted.high else "outside"
    said = (
        f"; the original's {100 * original:+.1f} lies {lies} what one more pair of runs would give "
        f"({100 * predicted.low:+.1f} to {100 * predicted.high:+.1f}, best epoch)"
    )
    return f"{interval(gain)} at the last epoch ({of_seeds(gain)}){said if min(predicted.seeds) > 1 else ''}"


def same_weights(neutral: Sequence[float]) -> str:
    """Name betas without an effect on the class weights, where there are several."""
    return f" β = {listed(neutral)} give exactly the same class weights on these counts." if len(neutral) > 1 else ""


def likeliest_reading(runs: Mapping[str, stats.Runs], original: float, caveat: str = "") -> str:
    """Name the readings of the ConvNet's settings that agree with the original's accuracy, or why none is a test."""
    reached = {name: [*map(stats.best_accuracy, found.values())] for name, found in runs.items() if found}
    if not reached:
        return "**Not run yet:** the readings of the ConvNet's settings."
    if caveat:
        return caveat.strip()
    nearest = min(reached, key=lambda name: abs(float(np.mean(reached[name])) - original))
    intervals = {name: stats.prediction_interval(values) for name, values in reached.items()}
    holding = [name for name, (low, high) in intervals.items() if low <= original <= high]
    if len(reached) == 1:
        return f"One reading was run, *{nearest}*: {against_original(reached[nearest], original)}."
    return (
        f"Of {len(reached)} readings the nearest is *{nearest}*: {against_original(reached[nearest], original)}. The "
        f"prediction interval of one more run contains the original's accuracy for: {'; '.join(holding) or 'none'}. "
        "Nothing in the rest of the report is tuned by it."
    )
