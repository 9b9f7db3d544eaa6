"""Words that a decision picks; sentences without one stand in the notebooks."""

import re
from collections.abc import Sequence

import numpy as np

from lib.analysis import statistics as stats
from lib.analysis.tables import difference, with_interval
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
    known = [deviation for d in differences for deviation in np.ravel(d.deviation) if deviation > 0]
    seeds = stats.seeds_needed(max(known), 0.01, comparisons) if known else 0
    return f"to detect one point takes about {seeds} seeds each" if known else ""


def power(*differences: stats.Difference, comparisons: int = 1) -> str:
    """Return the size of a difference that some comparisons could have shown, as a sentence; "" without intervals."""
    found = [100 * size for d in differences for size in np.ravel(d.detectable) if 0 < size < np.inf]
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


def with_errors(records: Sequence[Record]) -> str:
    """Return the mean accuracy of some runs at their best epochs in percent, with its errors: seeds, test images."""
    rows = stats.per_class(records)
    images = int(np.sum(records[0].last.test.confusion)) // rows.shape[1]
    seeds = f"95 % interval over {seeds_in_words(len(rows))}" if len(rows) > 1 else "one seed"
    drawn = f"test-set sampling error at most ± {100 * stats.sampling_error(rows.mean(axis=0), images):.1f}"
    return f"{with_interval(rows.mean(axis=1))} % ({seeds}; {drawn})"


def training_caption(records: Sequence[Record], every: int) -> str:
    """Return the caption of the figure that shows the training of these runs, of `every` so many."""
    settings = list(dict.fromkeys(r.experiment.setting for r in records))
    which = named(settings) if len(settings) < 3 else f"{len(settings)} settings, {settings[0]} to {settings[-1]}"
    runs = f"{len(records)} runs" if len(records) > 1 else "one run"
    if every > len(records):
        runs, which = f"{runs}, the first of each setting", f"{every} in all; {which}"
    return (
        f"Learning curves of {runs} ({which}), one line per run: loss, accuracy and learning rate, and below training "
        "and test accuracy of every class. Dots are the best epochs on the test set. Accuracies in the upper "
        "row are means over the classes, where runs keep them by class. Training values are means over the epoch, on "
        "augmented images; the training loss is the one that is minimised, the test loss plain cross-entropy."
    )
