"""The mistakes panel: a run's confusion matrix, and the test images of each of its cells."""

import threading
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import anywidget
import ipywidgets as widgets
import matplotlib as mpl
import numpy as np
import torch
import traitlets
from matplotlib.figure import Figure
from torch import Tensor

from explore import page
from explore.tryout import Trainer
from lib import losses
from lib.analysis import plots, statistics
from lib.analysis.prose import details
from lib.data import Dataset
from lib.experiment import Experiment
from lib.notebook import exhibits
from lib.runs.store import everything
from lib.system.device import has_bfloat16
from lib.training import Record, build_model
from lib.training.evaluation import predict

_ALONE = threading.Lock()  # while the number of threads is another one
MOST = 12  # images of a cell that are shown
_ALT = "Test images of one cell of the confusion matrix, the most confident first, each with its class probabilities."


def mistakes(dataset: Dataset) -> None:
    """Show the confusion matrix of a chosen run, and the images of a chosen cell."""
    records = stored_runs(dataset)
    if not records:
        exhibits.text("No run on these test images is stored yet. Train one below, then run this cell again.")
        return

    def choose_run(_=None) -> None:
        record = records[chosen.value]
        matrix.fill(np.array(record.best.test.confusion))
        if has_weights(record):
            train.layout.display = "none"
            images.value = page.sentence("Computing the predictions on the test images ...")
            place = most_frequent(record)
            if tuple(matrix.chosen) == place:
                choose_cell()
            matrix.chosen = place
        else:
            train.layout.display = ""
            images.value = spoken.value = page.sentence(
                "The weights of this run are not stored: its confusion matrix is shown, and no images. Train computes "
                f"them again: {record.experiment.epochs} epochs; the first time they took "
                f"{max(1, round(record.wall_time / 60))} min."
            )

    def choose_cell(_=None) -> None:
        if has_weights(records[chosen.value]):
            page.fill(images, lambda: html(*draw(records[chosen.value], dataset, *matrix.chosen)), spoken)

    def html(drawn: Figure | None, said: str) -> str:
        return page.sentence(said) + (page.picture(drawn, alt=_ALT) if drawn else "")

    def list_runs() -> None:
        nonlocal records
        records, key = stored_runs(dataset), chosen.value
        chosen.unobserve(choose_run, names="value")  # new options choose the first of them
        chosen.options = [(_name(record), key) for key, record in records.items()]
        chosen.value = key or next(iter(records))
        chosen.observe(choose_run, names="value")
        if train.layout.display != "none":  # this run may have its weights now
            choose_run()

    chosen, images = widgets.Dropdown(description="run", **page.WIDE), widgets.HTML()
    spoken = page.unseen()
    chosen.observe(choose_run, names="value")
    matrix = Matrix(dataset.classes)
    matrix.observe(choose_cell, names="chosen")
    train = widgets.VBox(Trainer(lambda: records[chosen.value].experiment).parts)
    list_runs()
    page.on_stored["mistakes"] = list_runs
    page.show(chosen, matrix, images, spoken, train)


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
    model = build_model(experiment, len(dataset.classes))
    model.load_state_dict(everything().tensors(experiment, "best"))
    # Emulated bfloat16 takes ten times as long; the few predictions it would change are near ties.
    precision = experiment.precision if has_bfloat16("cpu") else "float32"
    with _ALONE:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # seconds; with more threads on a machine that trains beside it, half a minute
        try:
            logits = predict(model, dataset.test.images, precision, dataset)
        finally:
            torch.set_num_threads(threads)
    return torch.sigmoid(logits) if losses.LOSSES[experiment.loss].sigmoid else logits.softmax(1)


def most_frequent(record: Record) -> tuple[int, int]:
    """Return the most frequent mistake of the best epoch: true class, predicted class."""
    return statistics.confused(np.array(record.best.test.confusion), most=1)[0][:2]


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


class Matrix(anywidget.AnyWidget):
    """A confusion matrix with a chosen cell, in one tab stop; both are [true class, predicted class]."""

    _esm = Path(__file__).with_name("matrix.js")
    classes = traitlets.List(traitlets.Unicode()).tag(sync=True)
    cells = traitlets.List().tag(sync=True)  # [C][C] of text, title, background and colour
    chosen = traitlets.Tuple(traitlets.Int(), traitlets.Int()).tag(sync=True)

    def __init__(self, classes: Sequence[str]):
        super().__init__(classes=list(classes), chosen=(0, 0))

    def fill(self, matrix: np.ndarray) -> None:
        """Show images by true and predicted class, [C, C], as shares of each true class, light to dark."""
        shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)  # a class may have no test images
        self.cells = [[self._cell(i, j, share) for j, share in enumerate(row)] for i, row in enumerate(shares)]

    def _cell(self, true: int, predicted: int, share: float) -> list[str]:
        background = mpl.colors.to_hex(mpl.colormaps["Blues"](share))
        title = f"{_place(self.classes, true, predicted)}: {100 * share:.1f} %"
        return [f"{100 * share:.0f}", title, background, "white" if share > plots.DARK else "black"]
