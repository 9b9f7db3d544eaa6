"""Learning curves: the figure that grows while runs train, and the same figure from their records."""

from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullLocator

from lib.analysis.plots import COLOUR, PERCENT, STYLE, WIDTH, panels
from lib.training import Epoch

#: The finished epochs of a run.
History = Sequence[Epoch]


@mpl.rc_context(STYLE)
def training(
    histories: Sequence[History],
    classes: Sequence[str] = (),
    *,
    epochs: int = 0,
    original: float | None = None,
    title: str = "",
) -> Figure:
    """Loss, accuracy and learning rate by epoch, and below them the test accuracy of every class.

    A line per run; the best epoch on the test set is marked in each. Training values are solid and blue, test
    values dashed and orange.

    Args:
        histories: one or more, each of at least one epoch.
        classes: their names, the labels by default.
        epochs: the axis reaches at least as far, for runs that are still under way.
        original: an accuracy to compare with, as a dotted line.
    """
    names = classes or [str(k) for k in range(len(histories[0][0].test.per_class))]
    rows, columns = panels(len(names))
    figure = plt.figure(figsize=(WIDTH, 4.6))
    # Fixed places: an automatic layout takes most of the time that drawing takes, and moves as numbers grow.
    upper = figure.add_gridspec(1, 3, left=0.07, right=0.99, top=0.9, bottom=0.59, wspace=0.33)
    lower = figure.add_gridspec(rows, columns, left=0.07, right=0.99, top=0.42, bottom=0.09, hspace=0.42, wspace=0.12)
    loss, accuracy, rate = (figure.add_subplot(upper[0, column]) for column in range(3))
    first = figure.add_subplot(lower[0, 0])
    rest = [figure.add_subplot(lower[divmod(k, columns)], sharex=first, sharey=first) for k in range(1, len(names))]
    reach = max(epochs, *(history[-1].epoch for history in histories), 2)
    strength = max(0.3, len(histories) ** -0.5)
    for number, history in enumerate(histories):
        _run((loss, accuracy, rate), [first, *rest], history, label=number == 0, alpha=strength)
    if original is not None:
        accuracy.axhline(original, color=COLOUR["original"], ls=":", lw=1.5, label="original")
    for axes, name in ((loss, "loss (nats)"), (accuracy, "accuracy"), (rate, "learning rate")):
        axes.set_title(name, fontsize=9, loc="left")
        _by_epoch(axes, reach)
        axes.set_xlabel("epoch", labelpad=1)
    accuracy.yaxis.set_major_formatter(PERCENT)
    loss.ticklabel_format(axis="y", useOffset=False)  # it would overlap the title
    rate.set_ylim(bottom=0)
    rate.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    lines = accuracy.get_legend_handles_labels()
    figure.legend(*lines, fontsize=8, ncols=4, loc="center right", bbox_to_anchor=(1, 0.472), borderaxespad=0)
    _classes([first, *rest], names, columns, reach)
    figure.text(0.07, 0.465, "test accuracy by class", fontsize=9)
    figure.suptitle(title, fontsize=9, x=0.07, y=0.99, ha="left")
    return figure


def _run(upper: Sequence[Axes], lower: Sequence[Axes], history: History, label: bool, alpha: float) -> None:
    loss, accuracy, rate = upper
    epochs = [e.epoch for e in history]
    marker: dict[str, Any] = {"marker": "."} if len(epochs) < 3 else {}  # a single point has no line
    train: dict[str, Any] = {"color": COLOUR["train"], "alpha": alpha, "label": "training" if label else None, **marker}
    test: dict[str, Any] = {
        "color": COLOUR["test"],
        "alpha": alpha,
        "ls": "--",
        "label": "test" if label else None,
        **marker,
    }
    loss.plot(epochs, [e.train_loss for e in history], **train)
    loss.plot(epochs, [e.test.loss for e in history], **test)
    accuracy.plot(epochs, [e.train_accuracy for e in history], **train)
    accuracy.plot(epochs, [e.test.accuracy for e in history], **test)
    rate.plot(epochs, [e.learning_rate for e in history], **{**train, "color": COLOUR["mark"], "label": None})
    best = max(history, key=lambda e: e.test.accuracy)
    dot: dict[str, Any] = {"color": COLOUR["mark"], "ls": "", "marker": "o", "ms": 4, "zorder": 5}
    accuracy.plot(best.epoch, best.test.accuracy, **dot, label="best epoch" if label else None)
    by_class = np.array([e.test.per_class for e in history])
    for axes, values in zip(lower, by_class.T, strict=True):
        axes.plot(epochs, values, lw=1.2, **{**test, "label": None})
        axes.plot(best.epoch, values[epochs.index(best.epoch)], **{**dot, "ms": 2.5})


def _classes(lower: Sequence[Axes], names: Sequence[str], columns: int, reach: int) -> None:
    for k, (axes, name) in enumerate(zip(lower, names, strict=True)):
        axes.set_title(name, fontsize=8, pad=2)
        axes.tick_params(labelbottom=k >= len(names) - columns, labelleft=k % columns == 0, labelsize=7)
        axes.yaxis.set_minor_locator(NullLocator())
    lower[0].set_ylim(-0.05, 1.05)
    lower[0].set_yticks([0, 0.5, 1])
    lower[0].yaxis.set_major_formatter(PERCENT)
    _by_epoch(lower[0], reach)
    bottom = lower[(len(names) - 1) // columns * columns :]
    bottom[len(bottom) // 2].set_xlabel("epoch", labelpad=1)


def _by_epoch(axes: Axes, reach: int) -> None:
    axes.set_xlim(1 - 0.02 * reach, reach + 0.02 * reach)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=5))
