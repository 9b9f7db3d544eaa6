"""Words that a decision picks; sentences without one stand in the notebooks."""

import re
from collections.abc import Mapping, Sequence
from types import SimpleNamespace

import numpy as np

from lib.analysis import statistics as stats
from lib.analysis.tables import difference, percent, with_interval
from lib.experiment import Experiment
from lib.losses import LOSSES
from lib.system.errors import clipped
from lib.training import Record


def escaped(text: object) -> str:
    """Return text, whoever wrote it, as Markdown in which nothing is markup: punctuation as character references.

    The marks of formulas, which MathJax finds in the finished page, have an element each: it looks into one at a time.
    """
    markup = r"[^\w\s.,/=()%+;-]|(?<![^\W_])_|_(?![^\W_])"
    shown = re.sub(markup, lambda found: f"&#{ord(found[0])};", clipped(str(text), 2000))
    return re.sub(r"&#(36|92);", r"<span>\g<0></span>", shown)


def points(difference: float) -> str:
    """Return a difference of two accuracies in percentage points, "above" or "below"."""
    return f"{100 * abs(difference):.1f} points {'above' if difference >= 0 else 'below'}"


def interval(d: stats.Difference) -> str:
    """Return a difference of accuracies with its interval, as in a sentence."""
    words = difference(d).replace(" [", " points [", 1)
    return words if "[" in words else f"{words} points (one seed: no interval)"


def of_seeds(*differences: stats.Difference) -> str:
    """Return the numbers of seeds behind some differences."""
    pairs = {d.seeds for d in differences}
    if len(pairs) == 1 and len(set(*pairs)) > 1:
        return "{} and {} seeds".format(*pairs.pop())
    return seeds_each(*(n for pair in pairs for n in pair))


def seeds_each(*numbers: int) -> str:
    """Return the numbers of seeds of several settings."""
    few, many = min(numbers), max(numbers)
    return f"{few} to {many} seeds each" if few < many else f"{seeds_in_words(few)} each"


def needed(*differences: stats.Difference, comparisons: int = 1) -> str:
    """Return the seeds that the difference of one point would take, as half a sentence; "" without intervals."""
    known = [d.deviation for d in differences if d.deviation > 0]
    seeds = stats.seeds_needed(max(known), 0.01, comparisons) if known else 0
    return f"to detect one point takes about {seeds} seeds each" if known else ""


def power(*differences: stats.Difference, comparisons: int = 1) -> str:
    """Return the size of a difference that some comparisons could have shown, as a sentence; "" without intervals."""
    found = [100 * d.detectable for d in differences if np.isfinite(d.detectable) and d.deviation > 0]
    if not found:
        return ""
    low, high = f"{min(found):.1f}", f"{max(found):.1f}"
    size, seeds = low if low == high else f"{low} to {high}", needed(*differences, comparisons=comparisons)
    return f" Minimum detectable difference at {100 * stats.POWER:.0f} % power: {size} points; {seeds}."


def seeds_in_words(n: int) -> str:
    """Return the number of seeds."""
    return f"{n} seeds" if n > 1 else "one seed"


def named(classes: Sequence[str] | np.ndarray) -> str:
    """Return the names of some classes as a list in a sentence."""
    *first, last = classes if len(classes) else ["none"]
    return f"{', '.join(first)} and {last}" if first else last


def listed(betas: Sequence[float]) -> str:
    """Return some betas as a list in a sentence."""
    return ", ".join(f"{beta:g}" for beta in betas)


def spans(groups: Sequence[Sequence[float]]) -> str:
    """Return groups of betas, each by its first and last."""
    return "; ".join(f"{g[0]:g}" if len(g) == 1 else f"{g[0]:g} to {g[-1]:g}" for g in groups) or "none"


def details(e: Experiment) -> str:
    """Return settings that a run's title leaves out: batch, rate, schedule, and every departure from the write-up."""
    said = {
        f"batch {e.batch_size}, rate {e.learning_rate:g}": True,
        "one-cycle": e.schedule == "one_cycle",
        f"from epoch {e.deferred + 1} on": e.deferred,
        f"steps {', '.join(map(str, e.steps)) or 'none'}": e.schedule == "steps" and e.steps != (6, 8),
        f"rate times {e.decay:g} at steps": e.decay != 0.1,
        f"mixup {e.mixup:g}": e.mixup,
        f"γ {e.gamma:g}": LOSSES[e.loss].has_gamma,
        f"divided by {e.normalisation}": e.normalisation != "count",
        f"draw {e.subset_seed}": e.imbalance != "none" and e.subset_seed,
        f"{100 * e.validation:g} % held out": e.validation,
        "no augmentation": not e.augmentation,
        "bfloat16": e.precision == "bfloat16",
    }
    return ", ".join(part for part, holds in said.items() if holds)


def against_original(accuracies: Sequence[float], original: float) -> str:
    """Compare the mean accuracy of some runs with the original's, by the interval in which one more run would lie."""
    away = float(np.mean(accuracies)) - original
    low, high = stats.prediction_interval(accuracies)
    verdict = "thus reached" if away >= 0 else "thus not reached"
    if low <= original <= high:
        verdict = f"within what one more run would reach ({percent(low)} to {percent(high)} %)"
    return f"{points(away)} the original's {percent(original)} %, which is {verdict}"


def with_errors(records: Sequence[Record], rule: str = "best") -> str:
    """Return the mean accuracy of some runs in percent with its errors: over seeds, and of one by the test images."""
    rows = stats.per_class(records, rule)
    images = int(np.sum(records[0].last.test.confusion)) // rows.shape[1]
    seeds = f"95 % interval over {seeds_in_words(len(rows))}" if len(rows) > 1 else "one seed"
    drawn = f"test-set sampling error at most ± {100 * stats.sampling_error(rows.mean(axis=0), images):.1f}"
    return f"{with_interval(rows.mean(axis=1))} % ({seeds}; {drawn})"


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


def training_caption(records: Sequence[Record]) -> str:
    """Return the caption of the figure that shows the training of these runs."""
    settings = list(dict.fromkeys(r.experiment.setting for r in records))
    named = settings[0] if len(settings) == 1 else f"{len(settings)} settings, {settings[0]} to {settings[-1]}"
    runs = f"{len(records)} runs" if len(records) > 1 else "one run"
    return (
        f"Learning curves of {runs} ({named}): loss, accuracy, learning rate, a line per run, and training and test "
        "accuracy of every class. Dots are the best epochs on the test set. Accuracies in the upper panel are means "
        "over the classes. Training values are means over the epoch, on augmented images; the training loss is the "
        "one that was minimised, the test loss plain cross-entropy."
    )


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
