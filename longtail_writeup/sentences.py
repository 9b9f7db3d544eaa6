"""Sentences of the report's chapters: each begins where a decision picks its words, and takes values from `lib`."""

from collections.abc import Collection, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np

from lib.analysis import statistics as stats
from lib.analysis.claims import Setting
from lib.analysis.methods import METHODS, Found, error
from lib.analysis.prose import interval, listed, named, of_seeds, points, seeds_in_words
from lib.analysis.tables import percent
from lib.notebook.parameters import READINGS
from longtail_writeup.findings import ANCHORS, gain, outside

#: Readings of the ConvNet's settings that are claim 1's controls: they contradict what the write-up states.
CONTROLS = [name for name, changes in READINGS.items() if changes and changes.keys() <= {"batch_size", "learning_rate"}]


def against_original(accuracies: Sequence[float], original: float) -> str:
    """Compare the mean accuracy of some runs with the original's, by the interval in which one more run would lie."""
    away = float(np.mean(accuracies)) - original
    low, high = stats.prediction_interval(accuracies)
    verdict = "from one run" if np.isnan(low) else "reached" if away >= 0 else "not reached"
    if low <= original <= high:
        verdict = f"within what one more run would reach: {percent(low)} to {percent(high)} %"
    return f"{points(away)} the original's {percent(original)} % ({verdict})"


def tail(gap: float, rarest: float) -> str:
    """Name what class-averaged training less test accuracy, and training accuracy of the rarest classes, say."""
    if gap > 0.05:
        return "What remains of the difference is overfitting."
    learned = ""
    if rarest < 0.1:
        learned = (
            "; the rare classes are hardly predicted even on the training images. How much of that is the learned "
            "class frequency alone is shown by logit adjustment in the next chapter"
        )
    return f"The difference over all images comes from the class frequencies{learned}."


def best_gain(top: SimpleNamespace) -> str:
    """Open the sentence on the best of several weightings, from `findings.gain_at_best`."""
    if top.by_weights and top.by_weights.above:
        return f"The best β gains {100 * top.by_weights.mean:.1f} points over the loss without weights."
    alone = "The balanced loss gains over cross-entropy, but no β is shown to gain over the loss without weights."
    return alone if top.gain.above else "No β is shown to gain."


def confirmed(top: SimpleNamespace) -> str:
    """Return the gain on fresh seeds, as a sentence, from `findings.gain_at_best`."""
    if min(top.again.seeds) < 2:
        return " Fresh seeds to confirm it were not run."
    over = f"β = {top.unweighted}" if top.by_weights else "cross-entropy"
    return f" Fresh seeds, run after that choice, give {interval(top.again)} over {over} ({of_seeds(top.again)})."


def tied(top: SimpleNamespace) -> str:
    """Name the weightings that cannot be told apart from the best, as an item of a list; "" where there is none."""
    if not top.tied:
        return ""
    return f"- In mean accuracy β = {named(top.tied)} cannot be told apart from β = {top.best}.\n"


def over_unweighted(top: SimpleNamespace) -> str:
    """State the gain over the loss without weights, as a part of a sentence; "" without both."""
    return f"minus that at β = {top.unweighted} is {interval(top.by_weights)}, and " if top.by_weights else ""


def adjusted(moved: SimpleNamespace, best: str) -> str:
    """State what logit adjustment changes in runs of cross-entropy, from `findings.adjustment`; `best` names a beta."""
    change, (before, after) = moved.change, (percent(row.mean()) for row in (moved.before, moved.after))
    lead = "Logit adjustment is not shown to help cross-entropy."
    if change.above or change.below:
        lead = (
            f"Logit adjustment {'raises' if change.above else 'lowers'} cross-entropy's accuracy without training "
            "again."
        )
    reaches = f" β = {best} reaches {percent(moved.best)} % on these seeds." if moved.best > 0 else ""
    return (
        f"**{lead}** Subtracting the log frequency of each training class from its logit changes the accuracy from "
        f"{before} to {after} %: {interval(change)} (last epoch; the same {seeds_in_words(change.seeds[0])} before and "
        f"after).{reaches}"
    )


def runs_with(settings: Sequence[Setting]) -> str:
    """Name the runs with some settings."""
    return f"our runs with {' or '.join(map(str, settings))}" if settings else "none of our runs"


def raised(setting: Setting, convnet: Mapping[str, Any]) -> str:
    """Say that a setting's learning rate is the one from which the original raised its ConvNet's; else ""."""
    first = convnet["first_learning_rate"]
    said = f" The write-up says that its ConvNet's learning rate was raised from {first:g}."
    return said if setting.learning_rate == first else ""


def settings_lead(ce: Sequence[Setting], balanced: Sequence[Setting], departure: str) -> str:
    """Open the sentence on the closing table, from `findings.fitting`."""
    if departure:
        return "Both losses with equal settings."
    ce_rates, balanced_rates = ([each.learning_rate for each in row] for row in (ce, balanced))
    if not ce_rates or not balanced_rates:
        return "A row of the closing table fits no candidate."
    rows = [("cross-entropy", ce_rates), ("CB-Focal", balanced_rates)]
    (lower, few), (_, many) = sorted(rows, key=lambda row: max(row[1]))
    if max(few) >= min(many):
        return "Both losses with equal settings."
    ratios = (min(many) / max(few), max(many) / min(few))
    least, most = (f"{ratio:.0f}" if ratio >= 10 else f"{ratio:.2g}" for ratio in ratios)
    times = f"{most}-fold" if least == most else f"{least}- to {most}-fold"
    return f"The closing table looks as if {lower} was trained at a {times} smaller learning rate."


def weights_or_rate(top: SimpleNamespace) -> str:
    """Say how much of the gain at one beta remains where the mean step is kept, from `findings.by_form`."""
    lead = f"No gain of β = {top.beta:g} is shown in these runs."
    if top.gains[0].above:
        lead = f"Whether β = {top.beta:g} gains by its weights or by a smaller effective learning rate is undecided."
        if all(lost.above for lost in top.lost):
            lead = f"β = {top.beta:g} gains less where its smaller loss is made up for."
    count, weights, rate = map(interval, top.gains)
    same = ""
    if len({seeds for d in top.gains for seeds in d.seeds}) > 1 and top.shared:
        gains = ", ".join(f"{100 * gain:+.1f}" for gain in top.on_shared)
        same = f" On the {len(top.shared)} seeds in common: {gains}."
    chosen = f"; corrected for the choice among {top.betas} β" if top.betas > 1 else ""
    return (
        f"**{lead}** Its weights average {top.mean_weight:.2f} over the training images, which acts like a smaller "
        f"learning rate. The accuracy minus that at {top.base} is {count} with the loss divided by the number of "
        f"images, {weights} divided by the sum of their weights, and {rate} with the learning rate divided by that "
        f"average (last epoch; {of_seeds(*top.gains)}{chosen}).{same}"
    )


def forms_apart(top: SimpleNamespace) -> str:
    """State what the other forms of `weights_or_rate` lose."""
    less, least = map(interval, top.lost)
    return (
        f"Divided by the number of images, the accuracy at β = {top.beta:g} exceeds that of the others by {less} and "
        f"{least} (95 % together, corrected, as the gains above, for the choice among {top.betas} β)."
    )


def against_table(predicted: stats.Difference, original: float) -> str:
    """Say if the original's difference between both losses lies where one more pair of runs would; "" from one seed."""
    if min(predicted.seeds) < 2:
        return ""
    lies = "inside" if predicted.low <= original <= predicted.high else "outside"
    return (
        f"The original's difference of {100 * original:+.1f} points lies {lies} what one more pair of runs with equal "
        f"settings would give, {100 * predicted.low:+.1f} to {100 * predicted.high:+.1f} (best epoch, 95 %)."
    )


def same_weights(neutral: Sequence[float]) -> str:
    """Name betas without an effect on the class weights, where there are several."""
    return f" β = {listed(neutral)} give exactly the same class weights on these counts." if len(neutral) > 1 else ""


def controls(names: Collection[str]) -> str:
    """Name the readings that are controls, as the end of a phrase; "" without one."""
    found = [name for name in names if name in CONTROLS]
    return f", beside controls of claim 1 ({'; '.join(found)})" if found else ""


def likeliest_reading(runs: Mapping[str, stats.Runs], original: float, caveat: str = "") -> str:
    """Name the readings of the ConvNet's settings that agree with the original's accuracy, or why none is a test."""
    reached = {
        name: [*map(stats.best_accuracy, found.values())]
        for name, found in runs.items()
        if found and name not in CONTROLS
    }
    if not reached:
        return "**Not run yet:** the readings of the ConvNet's settings."
    if caveat:
        return caveat.strip()
    nearest = min(reached, key=lambda name: abs(float(np.mean(reached[name])) - original))
    intervals = {name: stats.prediction_interval(values) for name, values in reached.items()}
    holding = [name for name, (low, high) in intervals.items() if low <= original <= high]
    known = [name for name, (low, _) in intervals.items() if not np.isnan(low)]  # from two runs on
    contained = (
        f" The prediction interval of one more run contains the original's accuracy for {len(holding)} of {len(known)} "
        f"readings: {'; '.join(holding) or 'none'}."
    )
    if len(reached) == 1:
        return f"One reading was run, {nearest}: its accuracy is {against_original(reached[nearest], original)}."
    return (
        f"The nearest of {len(reached)} readings is *{nearest}*: {against_original(reached[nearest], original)}."
        f"{contained if known else ''} Nothing in the rest of the report is tuned by it."
    )


def sources(found: Found) -> str:
    """Name the published errors of methods with their sources."""
    said = {name: [f"{value:.2f} ({source})" for value, source in METHODS[name].published] for name in found}
    return f"Published: {'; '.join(f'{name} {named(values)}' for name, values in said.items() if values)}."


def anchors(found: Found) -> str:
    """Compare each trained method's errors with the range of its published ones; "" where none has some."""
    said = [f"{name} {points(away) if away else 'inside'}" for name, away in outside(found).items()]
    lead = "Test error, from best to last epoch, compared with the range of published errors"
    return f"{lead}: {'; '.join(said)}." if said else ""


def provisional(found: Found) -> str:
    """Name the methods whose published errors have to be met before others are believed, and are not; "" without."""
    away = outside(found)
    apart = [name for name in ANCHORS if away.get(name) != 0]
    return f"**Provisional: not run, or outside the range of published errors: {named(apart)}.** " if apart else ""


def methods_found(found: Found, epochs: int) -> str:
    """Name the methods of the lowest error, and those shown to differ from cross-entropy, as a headline."""
    ran = {name: runs for name, runs in found.items() if runs}
    if "CE" not in ran or len(ran) < 2:
        return "**No method can be compared with cross-entropy yet.**"
    errors = {name: float(np.mean([*map(error, runs.values())])) for name, runs in ran.items()}
    gains = {name: gain(ran, name) for name in ran if name != "CE"}
    top = [name for name in ran if errors[name] == min(errors.values())]
    above, below = ([name for name, d in gains.items() if getattr(d, side)] for side in ("above", "below"))
    lead = f"**{named(top)} {'have' if len(top) > 1 else 'has'} the lowest mean error of {len(ran)} methods**"
    by = f" It gains {interval(gains[top[0]])} over cross-entropy." if len(top) == 1 and top[0] in gains else ""
    together = " (95 %, all methods together)" if len(gains) > 1 else " (95 %)"
    return (
        f"{lead} at the last epoch of the protocol with {epochs} epochs.{by} Shown to have a higher accuracy than "
        f"cross-entropy{together}: {named(above)}; a lower one: {named(below)}."
    )
