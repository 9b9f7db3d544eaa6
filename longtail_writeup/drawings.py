"""The figure of the original's closing table, beside our runs."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from lib.analysis import plots


def closing_rows(
    candidates: Mapping[str, plots.Rows], original: Mapping[str, Sequence], classes: Sequence[str]
) -> Figure:
    """The original's closing table against our runs, a panel per candidate setting, up to six in a row.

    `candidates` are accuracies [seeds, C] by setting and loss, CE first, drawn as bands from the lowest seed to the
    highest; `original` are the two published rows [C], drawn as marks in every panel.
    """
    lines = -(-len(candidates) // 6)
    columns = -(-len(candidates) // lines)
    figure, grid = plots.subplots(lines, columns, height=1.9 * lines + 0.7, sharex=True, sharey=True, squeeze=False)
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
            axes.plot(places, original[name], mark, **hollow, label=f"{name}, published")
        axes.set_title(setting.replace(", ", "\n", 1), fontsize=8)
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
