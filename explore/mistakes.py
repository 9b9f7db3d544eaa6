"""The mistakes panel: a run's confusion matrix, and the test images of each of its cells."""

from collections.abc import Callable, Sequence
from functools import cache

import ipywidgets as widgets
import matplotlib as mpl
import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from explore import page
from explore.tryout import Trainer
from lib import losses, models
from lib.analysis import findings, plots
from lib.analysis.prose import details
from lib.data import Dataset
from lib.experiment import Experiment
from lib.notebook import exhibits
from lib.runs.store import everything
from lib.system.device import has_bfloat16
from lib.training import Record
from lib.training.evaluation import predict

MOST = 12  # images of a cell that are shown
_HEAD = '<div style="text-align: {}; padding-right: .4em; font-size: 85%">{}</div>'
_ALT = "Test images of one cell of the confusion matrix, the most confident first, each with its class probabilities."


def mistakes(dataset: Dataset) -> None:
    """Show the confusion matrix of a chosen run, and the images of a chosen cell."""
    records = stored_runs(dataset)
    if not records:
        exhibits.text("No run on these test images is stored yet. Train one below, then run this cell again.")
        return

    def choose_run(_=None) -> None:
        record = records[chosen.value]
        looked_at = has_weights(record)
        grid.layout.display, train.layout.display = ("", "none") if looked_at else ("none", "")
        if looked_at:
            grid.fill(np.array(record.best.test.confusion))
            images.value = page.sentence("Computing the predictions on the test images ...")
            choose_cell(*most_frequent(record))
        else:
            images.value = page.sentence(
                "The weights of this run are not stored. Train computes them again: "
                f"{record.experiment.epochs} epochs; the first time they took {record.wall_time / 60:.0f} minutes."
            )

    def choose_cell(*place: int) -> None:
        grid.mark(place)
        page.fill(images, lambda: html(*draw(records[chosen.value], dataset, *place)))

    def html(drawn: Figure | None, said: str) -> str:
        return page.sentence(said) + (page.picture(drawn, alt=_ALT) if drawn else "")

    def list_runs() -> None:
        nonlocal records
        records, key = stored_runs(dataset), chosen.value
        chosen.unobserve(choose_run, names="value")  # new options choose the first of them
        chosen.options = [(_name(record), key) for key, record in records.items()]
        chosen.value = key or next(iter(records))
        chosen.observe(choose_run, names="value")
        if grid.layout.display == "none":  # this run may have its weights now
            choose_run()

    wide = {"layout": {"width": "60em", "max_width": "100%"}, "style": {"description_width": "3em"}}
    chosen, images = widgets.Dropdown(description="run", **wide), widgets.HTML()
    chosen.observe(choose_run, names="value")
    grid = Grid(dataset.classes, choose_cell)
    grid.layout.display = "none"
    train = widgets.VBox(Trainer(lambda: records[chosen.value].experiment).parts)
    list_runs()
    page.on_stored["mistakes"] = list_runs
    page.show(chosen, grid, images, train)


def stored_runs(dataset: Dataset) -> dict[str, Record]:
    """Return the stored runs on a data set by key, those with weights first, then by accuracy."""
    records = [r for r in everything().records() if r.experiment.data == dataset.name]
    records.sort(key=lambda r: (has_weights(r), r.best.test.accuracy), reverse=True)
    return {r.key: r for r in records}


def has_weights(record: Record) -> bool:
    """Return True if the best epoch's weights are stored."""
    return everything().file(record.key, "best.safetensors") is not None


def _name(record: Record) -> str:
    e, best, lacking = record.experiment, record.best.test.accuracy, "" if has_weights(record) else " (no weights)"
    tail = "all images" if e.imbalance == "none" else f"{e.imbalance} {e.factor:g}"
    return f"{e.title}, {tail}, {e.epochs} epochs, {details(e)}: {100 * best:.1f} % at the best epoch{lacking}"


@cache  # 0.4 MB for each run
def probabilities(experiment: Experiment, dataset: Dataset) -> Tensor:
    """Return the best epoch's class probabilities of the test images, [N, C]."""
    model = models.build(experiment.model, experiment.seed, len(dataset.classes))
    model.load_state_dict(everything().tensors(experiment, "best"))
    # Emulated bfloat16 takes ten times as long; the few predictions it would change are near ties.
    precision = experiment.precision if has_bfloat16("cpu") else "float32"
    logits = predict(model, dataset.test.images, precision, dataset)
    return torch.sigmoid(logits) if losses.LOSSES[experiment.loss].sigmoid else logits.softmax(1)


def most_frequent(record: Record) -> tuple[int, int]:
    """Return the most frequent mistake of the best epoch: true class, predicted class."""
    return findings.confused(np.array(record.best.test.confusion), most=1)[0][:2]


def cell(record: Record, dataset: Dataset, true: int, predicted: int) -> np.ndarray:
    """Return the positions of a cell's images in the test set, the most confident first."""
    given = probabilities(record.experiment, dataset)
    inside = ((dataset.test.labels == true) & (given.argmax(1) == predicted)).nonzero().flatten()
    return inside[given[inside, predicted].argsort(descending=True)].numpy()


def draw(record: Record, dataset: Dataset, true: int, predicted: int) -> tuple[Figure | None, str]:
    """Draw the images of a cell, each with its most probable classes and the true one.

    Returns the figure, None where the cell is empty; and a sentence with the number of images and their order.
    """
    inside, total = cell(record, dataset, true, predicted), int((dataset.test.labels == true).sum())
    said = f"{len(inside):,} of {total:,} images ({100 * len(inside) / total:.1f} %)"
    said = f"{_place(dataset.classes, true, predicted)}: {said}"
    if not inside.size:
        return None, f"{said}."
    order = f"the {MOST} most confident" if len(inside) > MOST else "most confident first"
    given, titles = probabilities(record.experiment, dataset), []
    for row in given[inside[:MOST]].numpy():
        likely = list(row.argsort()[::-1][:3])
        likely = likely if true in likely else [*likely[:2], true]
        titles.append("\n".join(f"{dataset.classes[k]} {100 * row[k]:.0f} %" for k in likely))
    drawn = plots.mistakes(dataset.test.images[inside[:MOST]], titles)
    return drawn, f"{said}; {order}, each with its most probable classes and the true one."


def _place(classes: Sequence[str], true: int, predicted: int) -> str:
    return f"{classes[true]} predicted as {classes[predicted]}"


class Grid(widgets.GridBox):
    """A confusion matrix of buttons; `on_click` is called with the true and the predicted class."""

    def __init__(self, classes: Sequence[str], on_click: Callable[[int, int], None]):
        look = {"width": "auto", "height": "2em", "padding": "0", "margin": "1px"}
        self._classes, self.cells = classes, {}
        parts = [widgets.HTML(_HEAD.format("right", "true / predicted"))]
        parts += [widgets.HTML(_HEAD.format("center", name)) for name in classes]
        for true, name in enumerate(classes):
            parts.append(widgets.HTML(_HEAD.format("right", name)))
            for predicted in range(len(classes)):
                button = self.cells[true, predicted] = widgets.Button(layout=look)
                button.on_click(lambda _, place=(true, predicted): on_click(*place))
                parts.append(button)
        columns = f"9em repeat({len(classes)}, minmax(2.6em, 5.2em))"
        super().__init__(parts, layout={"grid_template_columns": columns, "overflow": "auto"})

    def fill(self, matrix: np.ndarray) -> None:
        """Show images by true and predicted class, [C, C], as shares of each true class, light to dark."""
        shares = matrix / matrix.sum(axis=1, keepdims=True)
        for place, button in self.cells.items():
            share = shares[place]
            button.description = f"{100 * share:.0f}"
            button.tooltip = f"{_place(self._classes, *place)}: {100 * share:.1f} %"
            button.style.button_color = mpl.colors.to_hex(mpl.colormaps["Blues"](share))
            button.style.text_color = "white" if share > plots.DARK else "black"

    def mark(self, chosen: tuple[int, ...]) -> None:
        """Frame one cell and no other."""
        for place, button in self.cells.items():
            button.layout.border = "2px solid black" if place == chosen else None
