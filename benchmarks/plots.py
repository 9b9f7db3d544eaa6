"""Measurements in, matplotlib figures out."""

from collections.abc import Mapping

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.contenders import FLAGS, LIGHTNING, PLAIN
from lib.analysis.plots import subplots

OURS, THEIRS = "#0072B2", "#7F7F7F"


def ladder(frames: Mapping[str, pd.DataFrame]) -> Figure:
    """Images per second of every contender, one panel per model; a bar for the median, a line for the range."""
    figure, panels = subplots(1, len(frames), height=3.4, sharey=True)
    for panel, (model, frame) in zip(panels, frames.items(), strict=True):
        warm = frame[frame.repeat > 0].groupby("contender", sort=False).images_per_second
        middle, low, high = warm.median(), warm.min(), warm.max()
        colours = [THEIRS if name in (PLAIN, FLAGS, LIGHTNING) else OURS for name in middle.index]
        panel.barh(middle.index, middle, color=colours, height=0.7)
        panel.hlines(middle.index, low, high, color="black", lw=1.2)
        panel.set_title(model)
        panel.set_xlabel("images per second")
    panels[0].invert_yaxis()
    return figure


def growth(panels: Mapping[str, Mapping[str, pd.DataFrame]], limits: Mapping[str, float]) -> Figure:
    """Speed by batch size, workers and training images, a row of panels per model, with the machine's limit.

    Args:
        panels: from `benchmarks.measure.growth`, by model.
        limits: images per second at the machine's largest convolution rate, by model.
    """
    columns = list(next(iter(panels.values())))
    figure, axes = subplots(len(panels), len(columns), height=2.3 * len(panels), squeeze=False)
    for row, (model, frames) in zip(axes, panels.items(), strict=True):
        for axis, (name, frame) in zip(row, frames.items(), strict=True):
            _curve(axis, frame, name, limits[model])
        row[0].set_ylabel(f"{model}\nimages per second")
    for axis, name in zip(axes[-1], columns, strict=True):
        axis.set_xlabel(name.replace("_", " "))
    return figure


def _curve(axis: Axes, frame: pd.DataFrame, name: str, limit: float) -> None:
    grouped = frame.groupby(name).images_per_second
    middle = grouped.median()
    axis.fill_between(middle.index, grouped.min(), grouped.max(), color=OURS, alpha=0.2, lw=0)
    axis.plot(middle.index, middle, "o-", color=OURS, ms=4)
    axis.axhline(limit, color=THEIRS, ls="--", lw=1)
    axis.set_xscale("log", base=2)
    axis.set_xticks(middle.index, [f"{n // 1000}k" if n >= 1000 else str(n) for n in middle.index], rotation=45)
    axis.minorticks_off()
    axis.set_ylim(bottom=0)
