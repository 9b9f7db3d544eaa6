"""Values in, matplotlib figures out.

One colour per thing everywhere, from the Okabe-Ito palette and, for β, from plasma, which colour-blind readers can tell
apart; line styles and markers differ too, for prints in greyscale. Accuracies are percentages.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter
from torch import Tensor

from lib.analysis.statistics import mean_interval
from lib.experiment import Experiment
from lib.losses import class_balanced_weights

Rows = Mapping[str, np.ndarray]
COLOUR = {"train": "#0072B2", "test": "#D55E00", "CE": "#0072B2", "class-balanced": "#E97257", "original": "#7F7F7F"}
#: Every setting of matplotlib but its backend, so that a person's matplotlibrc changes nothing.
STYLE = dict(mpl.rc_params_from_file(Path(__file__).parent / "writeup.mplstyle"))
STYLE.pop("backend")
#: Colours for settings whose own another one has already.
_OTHERS = ("#009E73", "#CC79A7", "#56B4E9", "#000000", "#8C510A", "#999999")
_ALIKE = 0.15  # distance in RGB, each from 0 to 1, below which two lines cannot be told apart
PERCENT = FuncFormatter(lambda share, _: f"{round(100 * share, 6):g}%")  # as many digits as tell two ticks apart
WIDTH = 7.0  # inches, the report's text width
DARK = 0.72  # share above which white text is easier to read than black on its shade of blue


def subplots(*shape: int, height: float, width: float = WIDTH, **options: Any) -> tuple[Figure, Any]:
    """Return matplotlib's subplots in this project's style; height and width in inches."""
    with mpl.rc_context(STYLE):
        return plt.subplots(*shape, figsize=(width, height), layout="constrained", **options)


def colours(experiments: Sequence[Experiment]) -> list[str]:
    """Return a colour per experiment, one for all seeds of a setting and, if it can be, the same in every figure.

    Cross-entropy is blue; a class-balanced loss is orange at β = 0, and turns through purple to dark blue towards 1.
    """
    found: dict[Experiment, str] = {}
    for e in experiments:
        if (setting := e.any_seed) not in found:
            own = COLOUR["CE"] if e.loss_name == "CE" else _OTHERS[0]
            own = own if e.beta is None else _of_beta(e.beta)
            found[setting] = next((new for new in (own, *_OTHERS) if not _alike(new, found.values())), own)
    return [found[e.any_seed] for e in experiments]


def _alike(colour: str, others: Iterable[str]) -> bool:
    return any(math.dist(to_rgb(colour), to_rgb(other)) < _ALIKE for other in others)


def _of_beta(beta: float) -> str:
    nines = -math.log10(max(1 - beta, 1e-5))  # 0.9 has one, 0.99 has two
    return to_hex(mpl.colormaps["plasma_r"](0.25 + 0.15 * nines)).upper()


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
    for beta, marker in zip(betas, "osd^vP*X<>hp" * 2, strict=False):
        weights = class_balanced_weights(counts, beta)
        axes.plot(classes, weights, marker=marker, ms=4, lw=1.2, color=_of_beta(beta), label=f"β = {beta:g}")
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
