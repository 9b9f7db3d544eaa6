"""The mistakes panel: a run's confusion matrix, and the test images of each of its cells."""

from collections.abc import Callable, Sequence
from functools import cache

import ipywidgets as widgets
import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from lib import data, losses, models
from lib.analysis import plots
from lib.data import Dataset
from lib.experiment import Experiment
from lib.explore import page
from lib.explore.runs import circumstances
from lib.explore.trainer import Trainer
from lib.notebook import exhibits
from lib.notebook.session import Notebook
from lib.runs.store import everything
from lib.system.device import default_device, has_bfloat16
from lib.training import Record
from lib.training.evaluation import predict

MOST = 12  # images of a cell that are shown
_COLUMNS = 6
_BAR = "#C8C8C8"  # light enough for black text, and not the colour of a class or a loss
_ALT = "Test images of one cell of the confusion matrix, the most confident first, each with its class probabilities."


def mistakes(here: Notebook, dataset: Dataset) -> None:
    """Show the confusion matrix of a chosen run, and the images of a chosen cell."""
    records = stored_runs(dataset)
    if here.headless:
        _once(next((r for r in records.values() if has_weights(r)), None), dataset)
        return
    if not records:
        exhibits.text("No run on these test images is stored yet. Train one below, then run this cell again.")
        return

    def options() -> list[tuple[str, str]]:
        return [(_name(record), key) for key, record in records.items()]

    def choose_run(_=None) -> None:
        record = records[chosen.value]
        lacking = not has_weights(record)
        train.layout.display = "" if lacking else "none"
        grid.box.layout.display = "none" if lacking else ""
        images.value = ""
        if lacking:
            status.value = page.sentence(
                "The weights of this run are not stored. Train computes them again: "
                f"{record.experiment.epochs} epochs; the first time they took {record.wall_time / 60:.0f} minutes."
            )
            return
        status.value = page.sentence("Click a cell. Rows: true class; columns: predicted class; percent of the row.")
        grid.fill(confusion(record))
        images.value = page.sentence("Computing the predictions on the test images ...")
        choose_cell(*most_frequent(record))

    def choose_cell(true: int, predicted: int) -> None:
        grid.mark(true, predicted)
        page.fill(images, lambda: html(records[chosen.value], true, predicted))

    def html(record: Record, true: int, predicted: int) -> str:
        words = page.sentence(describe(record, dataset, true, predicted))
        filled = cell(record, dataset, true, predicted).size
        return words + (page.picture(draw(record, dataset, true, predicted), _ALT) if filled else "")

    def stored() -> None:
        nonlocal records
        records, key, lacked = stored_runs(dataset), chosen.value, grid.box.layout.display == "none"
        chosen.unobserve(choose_run, names="value")  # new options choose the first of them
        chosen.options, chosen.value = options(), key
        chosen.observe(choose_run, names="value")
        if lacked:
            choose_run()

    wide = {"layout": {"width": "60em", "max_width": "100%"}, "style": {"description_width": "3em"}}
    chosen = widgets.Dropdown(options=options(), description="run", **wide)
    grid, status, images = Grid(dataset.classes, choose_cell), widgets.HTML(), widgets.HTML()
    train = widgets.VBox(Trainer(lambda: records[chosen.value].experiment).parts)
    chosen.observe(choose_run, names="value")
    choose_run()
    page.on_stored("mistakes", stored)
    page.show(chosen, status, train, grid.box, images)


def _once(record: Record | None, dataset: Dataset) -> None:
    if record is None:
        exhibits.text("No weights of a run on these test images are stored yet; `make report` trains one.")
        return
    caption = f"Confusion matrix of {record.experiment.title} (best epoch on the test set): percent of each true class."
    alt = "A grid of percentages, true classes in rows and predicted classes in columns."
    drawn = plots.confusion(confusion(record), data.classes(record.experiment.data))
    exhibits.figure(drawn, "cells", caption, alt=alt, records=[record], width="75%")
    place = most_frequent(record)
    caption = describe(record, dataset, *place)
    exhibits.figure(draw(record, dataset, *place), "behind", caption, alt=_ALT, records=[record])


def stored_runs(dataset: Dataset) -> dict[str, Record]:
    """Return the stored runs on a data set by key, those with weights first, then by accuracy."""
    records = [r for r in everything().records() if r.experiment.data == dataset.name]
    records.sort(key=lambda r: (has_weights(r), r.best.test.accuracy), reverse=True)
    return {r.key: r for r in records}


def has_weights(record: Record) -> bool:
    """Return True if the best epoch's weights are stored."""
    return everything().file(record.key, "best.safetensors") is not None


def _name(record: Record) -> str:
    e = record.experiment
    accuracy = f"{100 * record.best.test.accuracy:.1f} % at the best epoch"
    return f"{e.title}, {circumstances(e)}: {accuracy}" + ("" if has_weights(record) else " (no weights)")


@cache  # 0.4 MB for each run
def probabilities(experiment: Experiment, dataset: Dataset) -> Tensor:
    """Return the best epoch's class probabilities of the test images, [N, C]."""
    model = models.build(experiment.model, experiment.seed, len(dataset.classes))
    model.load_state_dict(everything().weights(experiment, "best"))
    # Emulated bfloat16 takes ten times as long; the few predictions it would change are near ties.
    precision = experiment.precision if has_bfloat16(default_device().type) else "float32"
    # A second thread saves little time, and beside a training the two wait for each other.
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        logits = predict(model, dataset.test.images, precision, dataset)
    finally:
        torch.set_num_threads(threads)
    return torch.sigmoid(logits) if losses.LOSSES[experiment.loss].sigmoid else logits.softmax(1)


def confusion(record: Record) -> np.ndarray:
    """Return the best epoch's test images by true and predicted class, [C, C]."""
    return np.array(record.best.test.confusion)


def most_frequent(record: Record) -> tuple[int, int]:
    """Return the most frequent mistake: true class, predicted class."""
    off = confusion(record)
    np.fill_diagonal(off, 0)
    true, predicted = np.unravel_index(off.argmax(), off.shape)
    return int(true), int(predicted)


def cell(record: Record, dataset: Dataset, true: int, predicted: int) -> np.ndarray:
    """Return the positions of a cell's images in the test set, the most confident first."""
    given = probabilities(record.experiment, dataset)
    inside = ((dataset.test.labels == true) & (given.argmax(1) == predicted)).nonzero().flatten()
    return inside[given[inside, predicted].argsort(descending=True)].numpy()


def describe(record: Record, dataset: Dataset, true: int, predicted: int) -> str:
    """Return the number of images in a cell, and the order in which they are shown, as a sentence."""
    inside, total = len(cell(record, dataset, true, predicted)), int((dataset.test.labels == true).sum())
    name = _place(dataset.classes, true, predicted)
    number = f"{name}: {inside:,} of {total:,} images ({100 * inside / total:.1f} %)"
    if not inside:
        return f"{number}."
    order = f"the {MOST} most confident" if inside > MOST else "most confident first"
    return f"{number}; {order}, each with the most probable classes, the true one in bold."


def _place(classes: Sequence[str], true: int, predicted: int) -> str:
    return f"{classes[true]} predicted as {classes[predicted]}"


@mpl.rc_context(plots.STYLE)
def draw(record: Record, dataset: Dataset, true: int, predicted: int) -> Figure:
    """Draw the images of a cell that is not empty, each with bars for its most probable classes and the true one."""
    inside = cell(record, dataset, true, predicted)[:MOST]
    given = probabilities(record.experiment, dataset).numpy()
    rows = -(-len(inside) // _COLUMNS)
    shape = {"nrows": 2 * rows, "ncols": _COLUMNS, "height_ratios": [1, 0.55] * rows, "squeeze": False}
    figure, grid = plt.subplots(**shape, figsize=(plots.WIDTH, 1.85 * rows))
    figure.subplots_adjust(left=0.01, right=0.99, top=0.99, bottom=0.02, hspace=0.08, wspace=0.12)
    for axes in grid.flat:
        axes.axis("off")
    for n, position in enumerate(inside):
        line, column = divmod(n, _COLUMNS)
        grid[2 * line, column].imshow(dataset.test.images[position].permute(1, 2, 0).numpy(), interpolation="nearest")
        _bars(grid[2 * line + 1, column], given[position], true, dataset.classes)
    return figure


def _bars(axes: Axes, given: np.ndarray, true: int, classes: Sequence[str]) -> None:
    likely = list(given.argsort()[::-1][:3])
    if true not in likely:
        likely[-1] = true
    axes.barh(range(len(likely)), given[likely], color=_BAR)
    for n, k in enumerate(likely):
        weight = "bold" if k == true else "normal"
        axes.text(0.02, n, f"{classes[k]} {100 * given[k]:.0f} %", fontsize=7, va="center", weight=weight)
    axes.set(xlim=(0, 1), ylim=(2.6, -0.6))


class Grid:
    """A confusion matrix of buttons; `on_click` is called with the true and the predicted class."""

    def __init__(self, classes: Sequence[str], on_click: Callable[[int, int], None]):
        self._classes = classes
        look = {"width": "auto", "height": "2em", "padding": "0", "margin": "1px"}
        self.cells = {(i, j): widgets.Button(layout=look) for i in range(len(classes)) for j in range(len(classes))}
        for place, button in self.cells.items():
            button.on_click(lambda _, place=place: on_click(*place))
        side = "text-align: right; padding-right: .4em"
        parts = [widgets.HTML(f'<div style="{side}">true / predicted</div>')]
        parts += [widgets.HTML(f'<div style="text-align: center; font-size: 85%">{name}</div>') for name in classes]
        for true, name in enumerate(classes):
            parts.append(widgets.HTML(f'<div style="{side}">{name}</div>'))
            parts += [self.cells[true, predicted] for predicted in range(len(classes))]
        columns = f"9em repeat({len(classes)}, minmax(2.6em, 5.2em))"
        self.box = widgets.GridBox(parts, layout={"grid_template_columns": columns, "overflow": "auto"})

    def fill(self, matrix: np.ndarray) -> None:
        """Show images by true and predicted class, [C, C], as shares of each true class, light to dark."""
        shares = matrix / matrix.sum(axis=1, keepdims=True)
        for place, button in self.cells.items():
            share = shares[place]
            button.description = f"{100 * share:.0f}"
            button.tooltip = f"{_place(self._classes, *place)}: {100 * share:.1f} %"
            button.style.button_color = mpl.colors.to_hex(mpl.colormaps["Blues"](share))
            button.style.text_color = "white" if share > plots.DARK else "black"

    def mark(self, *chosen: int) -> None:
        """Frame one cell and no other."""
        for place, button in self.cells.items():
            button.layout.border = "2px solid black" if place == chosen else None
