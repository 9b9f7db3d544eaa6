"""Values in, matplotlib figures out.

One colour per thing everywhere, from the Okabe-Ito palette, which colour-blind readers can tell apart; line
styles and markers differ too, for prints in greyscale. Accuracies are percentages.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, NullLocator, PercentFormatter
from torch import Tensor

from lib.analysis.statistics import mean_interval
from lib.losses import class_balanced_weights
from lib.training import Epoch

__all__ = ["COLOUR", "DARK", "PERCENT", "STYLE", "WIDTH", "class_counts", "closing_rows", "confusion", "examples"]
__all__ += ["mistakes", "panels", "per_class", "subplots", "sweep_curves", "training", "weights_by_beta"]

Rows = Mapping[str, np.ndarray]
COLOUR = {"train": "#0072B2", "test": "#D55E00", "CE": "#0072B2", "class-balanced": "#D55E00", "original": "#7F7F7F"}
#: Every setting of matplotlib but its backend, so that a person's matplotlibrc changes nothing.
STYLE = dict(mpl.rc_params_from_file(Path(__file__).parent / "writeup.mplstyle"))
STYLE.pop("backend")
PERCENT = PercentFormatter(xmax=1, decimals=0)
WIDTH = 7.0  # inches, the report's text width
DARK = 0.72  # share above which white text is easier to read than black on its shade of blue


def subplots(*shape: int, height: float, width: float = WIDTH, **options: Any) -> tuple[Figure, Any]:
    """Return matplotlib's subplots in this project's style; height and width in inches."""
    with mpl.rc_context(STYLE):
        return plt.subplots(*shape, figsize=(width, height), layout="constrained", **options)


def panels(classes: int) -> tuple[int, int]:
    """Return the rows and columns of a grid with a panel per class: five columns up to 25 classes."""
    columns = max(5, math.isqrt(classes - 1) + 1)
    return -(-classes // columns), columns


def confusion(matrix: np.ndarray, classes: Sequence[str]) -> Figure:
    """Confusion matrix [C, C] as shares of each true class, on a scale of one hue, which prints well in grey."""
    figure, axes = subplots(height=4.6, width=5.2)
    axes.grid(False)
    shares, places = matrix / matrix.sum(axis=1, keepdims=True), range(len(classes))
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    axes.set_xticks(places, classes, rotation=45, ha="right")
    axes.set_yticks(places, classes)
    axes.spines[:].set_visible(False)
    for (i, j), share in np.ndenumerate(shares):
        colour = "white" if share > DARK else "black"
        axes.text(j, i, f"{100 * share:.0f}", ha="center", va="center", fontsize=7, color=colour)
    axes.set(xlabel="predicted class", ylabel="true class")
    return figure


def mistakes(images: Tensor, titles: Sequence[str]) -> Figure:
    """Images [N, 3, H, W] uint8, six in a row, each with its title."""
    rows = max(1, -(-len(images) // 6))  # empty where a network makes no mistake
    figure, grid = subplots(rows, 6, height=1.55 * rows)
    _photographs(grid.ravel(), images)
    for axes, title in zip(grid.flat, titles, strict=False):
        axes.set_title(title, fontsize=7.5)
    return figure


def _photographs(places: Sequence[Axes], images: Tensor) -> None:
    """Draw images [N, 3, H, W] uint8, one in each place; the places beyond them stay empty."""
    for axes in places:
        axes.axis("off")
    for axes, image in zip(places, images, strict=False):
        axes.imshow(image.permute(1, 2, 0).numpy(), interpolation="nearest")


def examples(rows: Mapping[str, Tensor]) -> Figure:
    """Example images, one row per class: {label: uint8 [N, 3, H, W]}."""
    columns = max(len(images) for images in rows.values())
    figure, grid = subplots(len(rows), columns, height=0.9 * len(rows) + 0.1, squeeze=False)
    figure.set_layout_engine("constrained", h_pad=0.1)  # for the labels
    for line, images in zip(grid, rows.values(), strict=True):
        _photographs(line, images)
    figure.draw_without_rendering()  # settles the layout, which a title would have widened the first column for
    for line, label in zip(grid, rows, strict=True):
        place = line[0].get_position()
        figure.text(place.x0, place.y1 + 0.02, label, fontsize=9)
    return figure


def class_counts(counts: Sequence[int], classes: Sequence[str]) -> Figure:
    """Training images per class on a logarithmic scale, with every count as text."""
    figure, axes = subplots(height=2.7)
    bars = axes.bar(classes, counts, color=COLOUR["train"])
    axes.bar_label(bars, labels=[f"{n:,}" for n in counts], fontsize=8, padding=2)
    axes.set(yscale="log", ylabel="training images")
    axes.tick_params(axis="x", rotation=30)
    return figure


def weights_by_beta(counts: Sequence[int], betas: Sequence[float], classes: Sequence[str]) -> Figure:
    """Class-balanced weight of every class, one line per beta."""
    figure, axes = subplots(height=2.9)
    shades = plt.get_cmap("viridis")(np.linspace(0, 0.9, len(betas)))
    for beta, shade, marker in zip(betas, shades, "osd^vP*X<>hp" * 2, strict=False):
        weights = class_balanced_weights(counts, beta)
        axes.plot(classes, weights, marker=marker, ms=4, lw=1.2, color=shade, label=f"β = {beta:g}")
    axes.set_ylabel("class weight (mean 1)")
    axes.tick_params(axis="x", rotation=30)
    axes.legend(ncols=2, fontsize=8)
    return figure


def per_class(rows: Rows, original: Mapping[str, Sequence], classes: Sequence[str]) -> Figure:
    """Accuracy by class as bars with 95 % intervals over seeds; the original's values as hollow marks.

    `rows` are [seeds, C] by loss, cross-entropy first; `original` are the counterparts, [C], in the same order.
    """
    figure, axes = subplots(height=2.9)
    width, places = 0.8 / len(rows), np.arange(len(classes))
    looks = ((COLOUR["CE"], "", "d"), (COLOUR["class-balanced"], "///", "s"))
    for number, (name, counterpart, (colour, hatch, mark)) in enumerate(zip(rows, original, looks, strict=False)):
        mean, half = mean_interval(rows[name])
        x = places + (number - (len(rows) - 1) / 2) * width
        axes.bar(x, mean, width, color=colour, label=name, hatch=hatch, edgecolor="white", lw=0.5)
        if np.isfinite(half).all():
            axes.errorbar(x, mean, half, fmt="none", ecolor="black", elinewidth=1, capsize=2)
        hollow = {"mfc": "white", "mec": "black", "ms": 5, "clip_on": False, "zorder": 3}
        axes.plot(x, original[counterpart], mark, **hollow, label=f"{counterpart}, original")
    axes.set_xticks(places, classes, rotation=30)
    axes.set(ylabel="test accuracy", ylim=(0, 1))
    axes.yaxis.set_major_formatter(PERCENT)
    axes.legend(ncols=2 * len(rows), fontsize=8, loc="upper right")
    return figure


def sweep_curves(rows: Rows, original: Rows, classes: Sequence[str]) -> Figure:
    """Accuracy [seeds, C] against groups of betas, a panel per class, 95 % intervals; the original's [betas, C]."""
    lines, columns = panels(len(classes))
    figure, grid = subplots(lines, columns, height=2.0 * lines, sharex=True, sharey=True, squeeze=False)
    places, colour = np.arange(len(rows)), COLOUR["class-balanced"]
    mean, half = (np.array(part) for part in zip(*map(mean_interval, rows.values()), strict=True))  # [groups, C]
    published = [(x, row) for x, name in enumerate(rows) for row in original[name]]
    for axes in grid.flat[len(classes) :]:
        axes.axis("off")
    for k, (axes, name) in enumerate(zip(grid.flat, classes, strict=False)):
        axes.plot(places, mean[:, k], "-o", ms=3, lw=1.2, color=colour, label="reproduced, 95 % interval")
        if np.isfinite(half).any():
            low, high = np.clip((mean - half, mean + half), 0, 1)[:, :, k]
            axes.fill_between(places, low, high, color=colour, alpha=0.25, lw=0)
        if published:
            x, y = zip(*((x, row[k]) for x, row in published), strict=True)
            axes.plot(x, y, "s", ms=3, mfc="none", color=COLOUR["original"], label="original's rows")
        axes.set_title(name, fontsize=8.5)
        axes.tick_params(axis="x", rotation=90, labelsize=7)
    axes.set_ylim(-0.03, 1.03)  # shared, as the ticks are
    axes.yaxis.set_major_formatter(PERCENT)
    axes.set_xticks(places, list(rows))
    figure.supxlabel("β", fontsize=9)
    figure.supylabel("test accuracy", fontsize=9)
    figure.legend(*grid[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=2, fontsize=8)
    return figure


def closing_rows(candidates: Mapping[str, Rows], original: Mapping[str, Sequence], classes: Sequence[str]) -> Figure:
    """The original's closing table against our runs, a panel per candidate setting, up to six in a row.

    `candidates` are accuracies [seeds, C] by setting and loss, CE first, drawn as bands from the lowest seed to the
    highest; `original` are the two published rows [C], drawn as marks in every panel.
    """
    lines = -(-len(candidates) // 6)
    columns = -(-len(candidates) // lines)
    figure, grid = subplots(lines, columns, height=1.9 * lines + 0.7, sharex=True, sharey=True, squeeze=False)
    places = np.arange(len(classes))
    looks = {"CE": (COLOUR["CE"], "d", "-"), "CB-Focal": (COLOUR["class-balanced"], "s", "--")}
    for axes in grid.flat[len(candidates) :]:
        axes.axis("off")
    for axes, (setting, rows) in zip(grid.flat, candidates.items(), strict=False):
        for name, (colour, mark, style) in looks.items():
            if len(seeds := np.asarray(rows[name])):
                axes.fill_between(places, seeds.min(axis=0), seeds.max(axis=0), color=colour, alpha=0.3, lw=0)
                axes.plot(places, seeds.mean(axis=0), style, color=colour, lw=1.2, label=f"{name}, our seeds")
            hollow = {"mfc": "white", "mec": colour, "ms": 4, "clip_on": False, "zorder": 3}
            axes.plot(places, original[name], mark, **hollow, label=f"{name}, published")
        axes.set_title(setting.replace(", ", "\n", 1), fontsize=8)
    axes.set_ylim(-0.03, 1.03)
    axes.yaxis.set_major_formatter(PERCENT)
    for axes in grid.flat[len(candidates) - columns : len(candidates)]:  # the lowest of each column
        axes.set_xticks(places, classes)
        axes.tick_params(axis="x", rotation=90, labelsize=7, labelbottom=True)
    figure.supylabel("test accuracy", fontsize=9)
    drawn = [pair for axes in grid.flat for pair in zip(*axes.get_legend_handles_labels(), strict=True)]
    keys = {label: handle for handle, label in drawn}
    figure.legend(keys.values(), keys, loc="outside upper center", ncols=4, fontsize=8)
    return figure


@mpl.rc_context(STYLE)
def training(
    histories: Sequence[Sequence[Epoch]],  # the finished epochs of one run or more, each of at least one epoch
    classes: Sequence[str] = (),  # their names, the labels by default
    *,
    counts: Sequence[int] = (),  # training images per class: training accuracy by class, and its mean over the classes
    settings: Sequence[str] = (),  # of the runs, for a colour each where they differ
    epochs: int = 0,  # the axis reaches at least as far, for runs that are still under way
    original: float | None = None,  # an accuracy to compare with, as a dotted line
) -> Figure:
    """Loss, accuracy and learning rate by epoch, and below them the test accuracy of every class.

    A line per run, its best epoch on the test set marked. Training values are solid and blue, test values dashed and
    orange; with several settings both have the setting's colour. Where the runs keep it, training accuracy is averaged
    over the classes, as test accuracy on the balanced test set is.
    """
    names = classes or [str(k) for k in range(len(histories[0][0].test.per_class))]
    rows, columns = panels(len(names))
    figure = plt.figure(figsize=(WIDTH, 4.6))
    # Fixed places: an automatic layout takes most of the time that drawing takes, and moves as numbers grow.
    above = figure.add_gridspec(1, 3, left=0.07, right=0.99, top=0.9, bottom=0.59, wspace=0.33)
    below = figure.add_gridspec(rows, columns, left=0.07, right=0.99, top=0.42, bottom=0.09, hspace=0.42, wspace=0.12)
    loss, accuracy, rate = upper = above.subplots(squeeze=False)[0]
    places = below.subplots(sharex=True, sharey=True, squeeze=False).ravel()
    lower = list(places[: len(names)])
    for axes in places[len(names) :]:
        axes.remove()
    reach = max(epochs, *(history[-1].epoch for history in histories), 2)
    distinct = list(dict.fromkeys(settings))
    shades = dict(zip(distinct, plt.get_cmap("viridis")(np.linspace(0, 0.9, len(distinct))), strict=True))
    for number, history in enumerate(histories):
        colour = shades[settings[number]] if len(distinct) > 1 else None
        _run(upper, lower, history, counts, colour, label=number == 0, alpha=max(0.3, len(histories) ** -0.5))
    if original is not None:
        accuracy.axhline(original, color=COLOUR["original"], ls=":", lw=1.5, label="original")
    for axes, name in ((loss, "loss (nats)"), (accuracy, "accuracy"), (rate, "learning rate")):
        axes.set_title(name, fontsize=9, loc="left")
        axes.set_xlabel("epoch", labelpad=1)
    accuracy.yaxis.set_major_formatter(PERCENT)
    loss.ticklabel_format(axis="y", useOffset=False)  # it would overlap the title
    rate.set_ylim(bottom=0)
    rate.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    for k, (axes, name) in enumerate(zip(lower, names, strict=True)):
        axes.set_title(name, fontsize=8, pad=2)
        axes.tick_params(labelbottom=k >= len(names) - columns, labelleft=k % columns == 0, labelsize=7)
        axes.yaxis.set_minor_locator(NullLocator())
    lower[0].set(ylim=(-0.05, 1.05), yticks=[0, 0.5, 1])
    lower[0].yaxis.set_major_formatter(PERCENT)
    bottom = lower[(len(names) - 1) // columns * columns :]
    bottom[len(bottom) // 2].set_xlabel("epoch", labelpad=1)
    for axes in (*upper, lower[0]):
        axes.set_xlim(1 - 0.02 * reach, reach + 0.02 * reach)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=5))
    lines = accuracy.get_legend_handles_labels()
    figure.legend(*lines, fontsize=8, ncols=4, loc="center right", bbox_to_anchor=(1, 0.472), borderaxespad=0)
    if len(distinct) > 1:
        keys = [Line2D([], [], color=shades[name]) for name in distinct]
        figure.legend(keys, distinct, fontsize=7, ncols=4, loc="lower center", bbox_to_anchor=(0.53, 0.96))
    figure.text(0.07, 0.465, "accuracy by class", fontsize=9)
    return figure


def _run(
    upper: Sequence, lower: Sequence, history: Sequence[Epoch], counts: Sequence, colour: Any, label: bool, alpha: float
) -> None:
    """Draw one run's lines and its best epoch; the lines of the run with `label` are named in the legend."""
    loss, accuracy, rate = upper
    epochs = [e.epoch for e in history]
    line: dict[str, Any] = {"alpha": alpha, "marker": "." if len(epochs) < 3 else None}  # a point has no line
    blue, orange, black = (COLOUR["train"], COLOUR["test"], "black") if colour is None else (colour,) * 3
    train = line | {"color": blue, "label": "training" if label else None}
    test = line | {"color": orange, "ls": "--", "label": "test" if label else None}
    loss.plot(epochs, [e.train_loss for e in history], **train)
    loss.plot(epochs, [e.test.loss for e in history], **test)
    trained = np.array([e.train_hits for e in history]) / counts if len(counts) and history[0].train_hits else None
    seen = [e.train_accuracy for e in history] if trained is None else trained.mean(axis=1)
    accuracy.plot(epochs, seen, **train)
    accuracy.plot(epochs, [e.test.accuracy for e in history], **test)
    rate.plot(epochs, [e.learning_rate for e in history], **line, color=black)
    best = max(history, key=lambda e: e.test.accuracy)
    dot: dict[str, Any] = {"color": "black", "ls": "", "marker": "o", "zorder": 5}
    accuracy.plot(best.epoch, best.test.accuracy, ms=4, label="best epoch" if label else None, **dot)
    by_class = np.array([e.test.per_class for e in history])
    for k, axes in enumerate(lower):
        if trained is not None:
            axes.plot(epochs, trained[:, k], **train | {"lw": 1, "label": None})
        axes.plot(epochs, by_class[:, k], **test | {"lw": 1.2, "label": None})
        axes.plot(best.epoch, best.test.per_class[k], ms=2.5, **dot)
