"""Values in, matplotlib figures out.

One colour per thing everywhere, from the Okabe-Ito palette, which colour-blind readers can tell apart; line
styles and markers differ too, for prints in greyscale. Accuracies are percentages.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from torch import Tensor

from lib.analysis.statistics import mean_interval
from lib.losses import class_balanced_weights

COLOUR = {
    "train": "#0072B2",
    "test": "#D55E00",
    "original": "#7F7F7F",
    "CE": "#0072B2",
    "class-balanced": "#D55E00",
    "mark": "#000000",
}
STYLE: dict[Any, Any] = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#E5E5E5",
    "axes.axisbelow": True,
    "legend.frameon": False,
    "svg.fonttype": "path",  # the same letters in every viewer
    "figure.dpi": 110,
    "savefig.dpi": 200,
}
PERCENT = PercentFormatter(xmax=1, decimals=0)
WIDTH = 7.0  # inches, the report's text width


def subplots(*shape: int, height: float, **options: Any) -> tuple[Figure, Any]:
    """Return matplotlib's subplots in this project's style and width; height in inches."""
    with mpl.rc_context(STYLE):
        return plt.subplots(*shape, figsize=(WIDTH, height), layout="constrained", **options)


def confusion(matrix: np.ndarray, classes: Sequence[str] = ()) -> Figure:
    """Confusion matrix [C, C] as shares of each true class; `classes` are their names, the labels by default."""
    names = classes or range(len(matrix))
    shares = matrix / matrix.sum(axis=1, keepdims=True)
    with mpl.rc_context(STYLE | {"axes.grid": False}):
        figure, axes = plt.subplots(figsize=(5.2, 4.6), layout="constrained")
    _heat(axes, shares, names, names, fontsize=7)
    axes.set(xlabel="predicted class", ylabel="true class")
    return figure


#: Share above which white text is easier to read than black on its shade of blue.
DARK = 0.72


def _heat(axes: Axes, values: np.ndarray, columns: Sequence, rows: Sequence, fontsize: float) -> None:
    """Shares as percentages on a scale of one hue, light to dark, which prints well in grey."""
    axes.grid(False)
    axes.imshow(values, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    axes.set_xticks(range(len(columns)), columns, rotation=45, ha="right")
    axes.set_yticks(range(len(rows)), rows)
    axes.spines[:].set_visible(False)
    for (i, j), value in np.ndenumerate(values):
        colour = "white" if value > DARK else "black"
        label = f"{100 * value:.0f}" if np.isfinite(value) else "–"
        axes.text(j, i, label, ha="center", va="center", fontsize=fontsize, color=colour)


def mistakes(
    images: Tensor, true: Sequence[int], predicted: Sequence[int], confidence: Sequence, classes: Sequence[str]
) -> Figure:
    """Images [N, 3, H, W] uint8 with their true class, the predicted one, and its probability."""
    columns = 6
    rows = -(-len(images) // columns)
    figure, grid = subplots(rows, columns, height=1.55 * rows)
    for axes in grid.flat:
        axes.axis("off")
    for axes, image, y, p, c in zip(grid.flat, images, true, predicted, confidence, strict=False):
        axes.imshow(image.permute(1, 2, 0).numpy(), interpolation="nearest")
        axes.set_title(f"{classes[y]}\n→ {classes[p]} {c:.0%}", fontsize=7.5)
    return figure


def class_counts(counts: Sequence[int], classes: Sequence[str]) -> Figure:
    """Training images per class on a logarithmic scale, with every count as text."""
    figure, axes = subplots(height=2.7)
    bars = axes.bar(classes, counts, color=COLOUR["train"])
    axes.bar_label(bars, labels=[f"{n:,}" for n in counts], fontsize=8, padding=2)
    axes.set(yscale="log", ylabel="training images")
    axes.tick_params(axis="x", rotation=30)
    return figure


def examples(rows: Mapping[str, Tensor]) -> Figure:
    """Example images, one row per class: {label: uint8 [N, 3, H, W]}."""
    columns = max(len(images) for images in rows.values())
    figure, grid = subplots(len(rows), columns, height=0.9 * len(rows) + 0.1, squeeze=False)
    figure.set_layout_engine("constrained", h_pad=0.1)  # for the labels
    for line, images in zip(grid, rows.values(), strict=True):
        for axes in line:
            axes.axis("off")
        for axes, image in zip(line, images, strict=False):
            axes.imshow(image.permute(1, 2, 0).numpy(), interpolation="nearest")
    figure.draw_without_rendering()  # settles the layout, which a title would have widened the first column for
    for line, label in zip(grid, rows, strict=True):
        place = line[0].get_position()
        figure.text(place.x0, place.y1 + 0.02, label, fontsize=9)
    return figure


def per_class(
    rows: Mapping[str, np.ndarray], original: Mapping[str, Sequence[float]], classes: Sequence[str]
) -> Figure:
    """Accuracy by class as bars with 95 % intervals over seeds; the original's values as hollow marks.

    Args:
        rows: accuracies [seeds, C] by the name of the loss, cross-entropy first.
        original: accuracies [C] of the original's counterparts by their names, in the same order.
    """
    figure, axes = subplots(height=2.9)
    width = 0.8 / len(rows)
    places = np.arange(len(classes))
    colours = (COLOUR["CE"], COLOUR["class-balanced"])
    for number, ((name, values), (counterpart, row)) in enumerate(zip(rows.items(), original.items(), strict=True)):
        mean, half = mean_interval(values)
        x = places + (number - (len(rows) - 1) / 2) * width
        hatch = "" if number == 0 else "///"
        axes.bar(x, mean, width, color=colours[number], label=name, hatch=hatch, edgecolor="white", lw=0.5)
        if np.isfinite(half).all():
            axes.errorbar(x, mean, half, fmt="none", ecolor="black", elinewidth=1, capsize=2)
        mark = {"marker": "ds"[number % 2], "mfc": "white", "mec": "black", "ms": 5}
        axes.plot(x, row, ls="", clip_on=False, zorder=3, label=f"{counterpart}, original", **mark)
    axes.set_xticks(places, classes, rotation=30)
    axes.set(ylabel="test accuracy", ylim=(0, 1))
    axes.yaxis.set_major_formatter(PERCENT)
    axes.legend(ncols=2 * len(rows), fontsize=8, loc="upper right")
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


def sweep_heatmap(
    betas: Sequence[float], values: np.ndarray, original: Mapping[float, Sequence], classes: Sequence[str]
) -> Figure:
    """Accuracy by beta (rows) and class (columns), reproduced beside the original's; a missing row as dashes.

    Args:
        values: [betas, C] fractions.
        original: {beta: [C]}.
    """
    figure, pair = subplots(1, 2, height=0.27 * len(betas) + 1.4, sharey=True)
    shown = {"reproduced": values, "original": _rows(betas, original, classes)}
    for axes, (title, rows) in zip(pair, shown.items(), strict=True):
        _heat(axes, rows, classes, [f"{beta:g}" for beta in betas], fontsize=6.5)
        axes.set_title(f"{title} (%)", fontsize=9)
    pair[0].set_ylabel("β")
    return figure


def sweep_curves(
    betas: Sequence[float], values: np.ndarray, original: Mapping[float, Sequence], classes: Sequence[str]
) -> Figure:
    """Accuracy against beta, one small panel per class, with 95 % intervals over seeds.

    Args:
        values: [betas, seeds, C] fractions.
        original: {beta: [C]}.
    """
    rows, columns = panels(len(classes))
    figure, grid = subplots(rows, columns, height=1.8 * rows, sharex=True, sharey=True, squeeze=False)
    places, compared = np.arange(len(betas)), _rows(betas, original, classes)
    colour = COLOUR["class-balanced"]
    for axes in grid.flat[len(classes) :]:
        axes.axis("off")
    for k, (axes, name) in enumerate(zip(grid.flat, classes, strict=False)):
        mean, half = mean_interval(values[:, :, k].T)
        axes.plot(places, mean, "-o", ms=3, lw=1.2, color=colour, label="reproduced")
        if np.isfinite(half).all():
            low, high = np.clip((mean - half, mean + half), 0, 1)
            axes.fill_between(places, low, high, color=colour, alpha=0.25, lw=0)
        axes.plot(places, compared[:, k], ":s", ms=3, lw=1, color=COLOUR["original"], label="original")
        axes.set_title(name, fontsize=8.5)
        axes.set_ylim(-0.03, 1.03)
        axes.yaxis.set_major_formatter(PERCENT)
        axes.set_xticks(places, [f"{beta:g}" for beta in betas], rotation=90, fontsize=6.5)
    figure.supxlabel("β", fontsize=9)
    figure.supylabel("test accuracy", fontsize=9)
    figure.legend(*grid[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=2, fontsize=8)
    return figure


def _rows(betas: Sequence[float], original: Mapping[float, Sequence], classes: Sequence[str]) -> np.ndarray:
    """The original's rows [betas, C], NaN where it has none."""
    return np.array([original.get(beta, [np.nan] * len(classes)) for beta in betas])


def panels(classes: int) -> tuple[int, int]:
    """Return the rows and columns of a grid with a panel per class: five columns up to 25 classes."""
    columns = max(5, math.isqrt(classes - 1) + 1)
    return -(-classes // columns), columns
