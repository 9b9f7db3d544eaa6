"""Figures of single chapters: the original's closing table beside our runs, and the field's methods."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lib.analysis import plots
from lib.analysis.methods import AFTER, Found
from lib.analysis.statistics import accuracy, mean_interval, values
from lib.analysis.tables import by_rank
from lib.training import Record
from longtail_writeup.findings import further_training, half_interval

#: Lines of many methods in one figure, the first in black; after the last one they start again, dashed.
_LINES = ("#000000", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")


def closing_rows(
    candidates: Mapping[str, plots.Rows], original: Mapping[str, Sequence], classes: Sequence[str]
) -> Figure:
    """The original's closing table against our runs, a panel per candidate setting, up to six in a row.

    `candidates` are accuracies [seeds, C] by setting and loss, CE first, drawn as bands from the lowest seed to the
    highest; `original` are its two rows [C], drawn as marks in every panel.
    """
    lines = -(-len(candidates) // 6)
    columns = -(-len(candidates) // lines)
    figure, grid = plots.subplots(lines, columns, height=1.3 * lines + 0.9, sharex=True, sharey=True, squeeze=False)
    places = np.arange(len(classes))
    looks = {"CE": (plots.COLOUR["CE"], "d", "-"), "CB-Focal": (plots.COLOUR["class-balanced"], "s", "--")}
    for axes in grid.flat[len(candidates) :]:
        axes.axis("off")
    for axes, (setting, rows) in zip(grid.flat, candidates.items(), strict=False):
        for name, (colour, mark, style) in looks.items():
            if len(seeds := np.asarray(rows[name])):
                axes.fill_between(places, seeds.min(axis=0), seeds.max(axis=0), color=colour, alpha=0.3, lw=0)
                axes.plot(places, seeds.mean(axis=0), style, color=colour, lw=1.2, label=f"{name}, our seeds")
            hollow = {"mfc": "white", "mec": colour, "ms": 4, "clip_on": False, "zorder": 3}
            axes.plot(places, original[name], mark, **hollow, label=f"{name}, original")
        axes.set_title(setting if columns < 5 else setting.replace(", ", "\n", 1), fontsize=7.5)
    axes.set_ylim(-0.03, 1.03)
    axes.yaxis.set_major_formatter(plots.PERCENT)
    for axes in grid.flat[len(candidates) - columns : len(candidates)]:  # the lowest of each column
        axes.set_xticks(places, classes)
        axes.tick_params(axis="x", rotation=90, labelsize=7, labelbottom=True)
    figure.supylabel("test accuracy", fontsize=9)
    drawn = [pair for axes in grid.flat for pair in zip(*axes.get_legend_handles_labels(), strict=True)]
    keys = {label: handle for handle, label in drawn}
    figure.legend(keys.values(), keys, loc="outside upper center", ncols=4, fontsize=8)
    return figure


def _by_rank(record: Record) -> np.ndarray:
    """Test accuracy of head, middle and tail, [epochs, 3]."""
    return by_rank(np.array([epoch.test.per_class for epoch in record.history]), record.counts)


def groups(found: Found) -> Figure:
    """Accuracy of head, middle and tail at the last epoch, a row for each method with runs."""
    ran = {name: runs for name, runs in found.items() if runs}
    figure, axes = plots.subplots(height=0.28 * len(ran) + 1.0)
    means = np.array([values(lambda record: _by_rank(record)[-1], runs).mean(axis=0) for runs in ran.values()])
    places = np.arange(len(ran))[::-1]
    axes.hlines(places, means.min(axis=1), means.max(axis=1), color=plots.COLOUR["original"], lw=1)
    looks = {"head": ("o", plots.COLOUR["CE"]), "middle": ("s", "#009E73"), "tail": ("^", plots.COLOUR["test"])}
    for column, (name, (mark, colour)) in zip(means.T, looks.items(), strict=True):
        axes.plot(column, places, mark, color=colour, ms=5, label=name)
    axes.set_yticks(places, list(ran))
    axes.set(xlabel="test accuracy", xlim=(-0.02, 1.02))
    axes.xaxis.set_major_formatter(plots.PERCENT)
    figure.legend(loc="outside upper center", ncols=3, fontsize=8)
    return figure


def head_and_tail(found: Found) -> Figure:
    """Accuracy of the three most frequent and the three rarest classes by epoch, a line for each method with runs."""
    ran = {name: [*runs.values()] for name, runs in found.items() if runs}
    figure, (head, tail) = plots.subplots(1, 2, height=3.6, sharex=True)
    for number, (name, runs) in enumerate(ran.items()):
        epochs = [epoch.epoch for epoch in runs[0].history]
        mean = np.mean([_by_rank(record) for record in runs], axis=0)
        line = {"color": _LINES[number % len(_LINES)], "ls": ("-", "--", ":")[number // len(_LINES) % 3], "lw": 1.2}
        for axes, column in ((head, 0), (tail, 2)):
            axes.plot(epochs, mean[:, column], **line, marker="." if len(epochs) < 3 else None, label=name)
    for axes, name in ((head, "head"), (tail, "tail")):
        axes.set_title(name, fontsize=9, loc="left")
        axes.set(xlabel="epoch", ylim=(0, None))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.yaxis.set_major_formatter(plots.PERCENT)
    figure.legend(*head.get_legend_handles_labels(), loc="outside upper center", ncols=5, fontsize=7)
    return figure


def cost(found: Found) -> Figure:
    """Test error at the last epoch against the training beyond cross-entropy's, a mark for each method with runs."""
    ran = {name: runs for name, runs in found.items() if runs}
    costs = further_training(ran)
    figure, axes = plots.subplots(height=4.2, width=6.2)
    marks: dict[str, tuple[float, float]] = {}
    for name, runs in ran.items():
        mean, half = mean_interval(1 - values(accuracy, runs))
        half = half if name in AFTER else half_interval(found, len(runs))
        look = {"fmt": "D" if name in AFTER else "o", "ms": 4, "capsize": 2, "color": plots.COLOUR["CE"]}
        axes.errorbar(costs[name], mean, None if np.isnan(half) else half, **look)
        marks[name] = costs[name], float(mean)
    axes.set(xlabel="training beyond cross-entropy's run (1: as much again)", ylabel="test error")
    axes.margins(x=0.3)
    axes.yaxis.set_major_formatter(plots.PERCENT)
    _label(axes, marks)
    return figure


def _label(axes: Axes, marks: Mapping[str, tuple[float, float]]) -> None:
    """Write each mark's name to its right, from below upwards, higher where another name is, with a line to it."""
    (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
    wide, tall, placed = 0.36 * (right - left), (high - low) / 27, []
    for name, (x, y) in sorted(marks.items(), key=lambda mark: mark[1][1]):
        place = y
        while any(abs(x - u) < wide and abs(place - v) < tall for u, v in placed):
            place += tall / 4
        placed.append((x, place))
        line = {"arrowstyle": "-", "lw": 0.4, "color": plots.COLOUR["original"], "shrinkA": 0, "shrinkB": 3}
        axes.annotate(name, (x, y), xytext=(x + 0.02 * (right - left), place), va="center", fontsize=7, arrowprops=line)
    axes.set_ylim(low, max([high, *(place + tall for _, place in placed)]))
