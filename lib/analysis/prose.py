"""Words that a decision picks; sentences without one stand in the notebooks."""

from collections.abc import Mapping, Sequence

import numpy as np

from lib.analysis.statistics import Difference, Runs, best_accuracy, prediction_interval
from lib.analysis.tables import difference, percent
from lib.experiment import Experiment
from lib.losses import LOSSES
from lib.training import Record


def points(difference: float) -> str:
    """Return a difference of two accuracies in percentage points, "above" or "below"."""
    return f"{100 * abs(difference):.1f} points {'above' if difference >= 0 else 'below'}"


def interval(d: Difference) -> str:
    """Return a difference of accuracies with its interval, as in a sentence."""
    words = difference(d).replace(" [", " points [", 1)
    return words if "[" in words else f"{words} points (one seed: no interval)"


def resolution(differences: Sequence[Difference]) -> str:
    """Return the size of the intervals, as half a sentence; "" for a single seed."""
    half = np.array([d.high - d.mean for d in differences])
    known = half.size and not np.isnan(half).any()
    return f" (median half-width of the intervals: {100 * np.median(half):.0f} points)" if known else ""


def seeds_in_words(n: int) -> str:
    """Return the number of seeds."""
    return f"{n} seeds" if n > 1 else "one seed"


def mean_of(n: int) -> str:
    """Return the number of seeds behind a value, which is a mean where there are several."""
    return f"mean of {seeds_in_words(n)}" if n > 1 else seeds_in_words(n)


def named(classes: Sequence[str] | np.ndarray) -> str:
    """Return the names of some classes as a list in a sentence."""
    *first, last = classes if len(classes) else ["no class"]
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
        f"steps {', '.join(map(str, e.steps)) or 'none'}": e.schedule == "steps" and e.steps != (6, 8),
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
    low, high = prediction_interval(accuracies)
    verdict = "thus reached" if away >= 0 else "thus not reached"
    if low <= original <= high:
        verdict = f"within what one more run would reach ({percent(low)} to {percent(high)} %)"
    return f"{points(away)} the original's {percent(original)} %, which is {verdict}"


def training_caption(records: Sequence[Record]) -> str:
    """Return the caption of the figure that shows the training of these runs."""
    settings = list(dict.fromkeys(r.experiment.setting for r in records))
    named = settings[0] if len(settings) == 1 else f"{len(settings)} settings, {settings[0]} to {settings[-1]}"
    runs = f"{len(records)} runs" if len(records) > 1 else "one run"
    return (
        f"Learning curves of {runs} ({named}): loss, accuracy, learning rate, a line per run, and the test accuracy of "
        "every class. Dots are the best epochs on the test set. Training values are means over the epoch, on "
        "augmented images; the training loss is the one that was minimised, the test loss plain cross-entropy."
    )


def same_weights(neutral: Sequence[float]) -> str:
    """Name betas without an effect on the class weights, where there are several."""
    return f" β = {listed(neutral)} give exactly the same class weights on these counts." if len(neutral) > 1 else ""


def likeliest_reading(runs: Mapping[str, Runs], original: float) -> str:
    """Name the readings of the ConvNet's settings that agree with the original's accuracy."""
    ran = {name: [*map(best_accuracy, found.values())] for name, found in runs.items() if found}
    if not ran:
        return "**Not run yet:** the readings of the ConvNet's settings."
    away = {name: float(np.mean(reached)) - original for name, reached in ran.items()}
    intervals = {name: prediction_interval(reached) for name, reached in ran.items()}
    holding = [name for name, (low, high) in intervals.items() if low <= original <= high]
    text = ""
    if "as stated" in ran:
        text = f"The settings as stated end {points(away['as stated'])} the original's {percent(original)} %"
        if "as stated" in holding:
            low, high = map(percent, intervals["as stated"])
            within = f"their 95 % prediction interval ({low} to {high} %, {len(ran['as stated'])} seeds)"
            return f"{text}, which lies within {within}: no other reading is needed."
        text += ". "
    if len(ran) == 1:
        return f"{text}No other reading has been run."
    nearest = min(away, key=lambda name: abs(away[name]))
    missing = ", ".join(name for name in runs if name not in ran)
    not_run = f" Not run yet: {missing}." if missing else ""
    return (
        f"{text}Of {len(ran)} readings the nearest is **{nearest}** ({points(away[nearest])} it); the prediction "
        f"interval contains the original's accuracy for {', '.join(holding) or 'none with several runs'}."
        f"{not_run} This names the likeliest reading; nothing in the rest of the report is tuned by it."
    )
