"""The figure of a training: learning curves of one run or several, as they grow and when they are done."""

from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, NullLocator

from lib.analysis import plots, prose
from lib.experiment import Experiment
from lib.training import Epoch


@mpl.rc_context(plots.STYLE)
def training(
    histories: Sequence[Sequence[Epoch]],  # the finished epochs of one run or more, each of at least one epoch
    classes: Sequence[str] = (),  # their names, the labels by default
    *,
    counts: Sequence[int] = (),  # training images per class: training accuracy by class, and its mean over the classes
    experiments: Sequence[Experiment] = (),  # of the runs; a colour per setting where there are several
    epochs: int = 0,  # the axis reaches at least as far, for runs that are still under way
    original: float | None = None,  # an accuracy to compare with, as a dotted line
) -> Figure:
    """Loss, accuracy and learning rate by epoch, and below them the test accuracy of every class.

    A line per run, its best epoch on the test set marked. Training values are solid and blue, test values dashed and
    orange; with several settings both have the setting's colour. Where the runs keep it, training accuracy is averaged
    over the classes, as test accuracy on the balanced test set is.
    """
    names = classes or [str(k) for k in range(len(histories[0][0].test.per_class))]
    rows, columns = plots.panels(len(names))
    figure = plt.figure(figsize=(plots.WIDTH, 4.6))
    # Fixed places: an automatic layout takes most of the time that drawing takes, and moves as numbers grow.
    above = figure.add_gridspec(1, 3, left=0.07, right=0.99, top=0.9, bottom=0.59, wspace=0.33)
    below = figure.add_gridspec(rows, columns, left=0.07, right=0.99, top=0.42, bottom=0.09, hspace=0.42, wspace=0.12)
    loss, accuracy, rate = upper = above.subplots(squeeze=False)[0]
    places = below.subplots(sharex=True, sharey=True, squeeze=False).ravel()
    lower = list(places[: len(names)])
    for axes in places[len(names) :]:
        axes.remove()
    reach = max(epochs, *(history[-1].epoch for history in histories), 2)
    shades = plots.colours(experiments)
    keys = dict(zip([e.any_seed for e in experiments], shades, strict=True))
    several, alpha = len(keys) > 1, max(0.3, (max(1, len(keys)) / len(histories)) ** 0.5)  # by the runs of a setting
    for number, history in enumerate(histories):
        colour = shades[number] if several else None
        _run(upper, lower, history, counts, colour, label=number == 0, alpha=alpha)
    if original is not None:
        accuracy.axhline(original, color=plots.COLOUR["original"], ls=":", lw=1.5, label="original")
    for axes, name in ((loss, "loss (nats)"), (accuracy, "accuracy"), (rate, "learning rate")):
        axes.set_title(name, fontsize=9, loc="left")
        axes.set_xlabel("epoch", labelpad=1)
    accuracy.yaxis.set_major_formatter(plots.PERCENT)
    loss.ticklabel_format(axis="y", useOffset=False)  # it would overlap the title
    rate.set_ylim(bottom=0)
    rate.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    for k, (axes, name) in enumerate(zip(lower, names, strict=True)):
        axes.set_title(name, fontsize=8, pad=2)
        axes.tick_params(labelbottom=k >= len(names) - columns, labelleft=k % columns == 0, labelsize=7)
        axes.yaxis.set_minor_locator(NullLocator())
    lower[0].set(ylim=(-0.05, 1.05), yticks=[0, 0.5, 1])
    lower[0].yaxis.set_major_formatter(plots.PERCENT)
    bottom = lower[(len(names) - 1) // columns * columns :]
    bottom[len(bottom) // 2].set_xlabel("epoch", labelpad=1)
    for axes in (*upper, lower[0]):
        axes.set_xlim(1 - 0.02 * reach, reach + 0.02 * reach)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=5))
    lines = accuracy.get_legend_handles_labels()
    figure.legend(*lines, fontsize=8, ncols=4, loc="center right", bbox_to_anchor=(1, 0.472), borderaxespad=0)
    if several:
        lines, said = [Line2D([], [], color=colour) for colour in keys.values()], [e.setting for e in keys]
        alike = len(set(said)) < len(said)  # they differ in what a setting's name leaves out
        said = [f"{e.setting}, {prose.details(e)}" if alike else e.setting for e in keys]
        columns = 2 if alike else 4
        figure.legend(lines, said, fontsize=7, ncols=columns, loc="lower center", bbox_to_anchor=(0.53, 0.96))
    figure.text(0.07, 0.465, "accuracy by class", fontsize=9)
    return figure


def _run(
    upper: Sequence, lower: Sequence, history: Sequence[Epoch], counts: Sequence, colour: Any, label: bool, alpha: float
) -> None:
    """Draw one run's lines and its best epoch; the lines of the run with `label` are named in the legend."""
    loss, accuracy, rate = upper
    epochs = [e.epoch for e in history]
    line: dict[str, Any] = {"alpha": alpha, "marker": "." if len(epochs) < 3 else None}  # a point has no line
    blue, orange, black = (plots.COLOUR["train"], plots.COLOUR["test"], "black") if colour is None else (colour,) * 3
    train = line | {"color": blue, "label": "training" if label else None}
    test = line | {"color": orange, "ls": "--", "label": "test" if label else None}
    loss.plot(epochs, [e.train_loss for e in history], **train)
    loss.plot(epochs, [e.test.loss for e in history], **test)
    kept = len(counts) and any(e.train_hits for e in history)  # not of epochs in which classes are drawn uniformly
    unknown = np.full(len(counts), np.nan)
    trained = np.array([e.train_hits or unknown for e in history]) / counts if kept else None
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
