"""A confusion matrix, and the images behind each of its cells."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from lib import data, models
from lib.analysis import plots
from lib.analysis.plots import DARK, STYLE, WIDTH
from lib.data import CLASS_NAMES, ImageSet
from lib.explore.runs import circumstances
from lib.notebook import exhibits
from lib.notebook.session import Notebook
from lib.runs.store import everything
from lib.system.device import default_device, has_bfloat16
from lib.system.errors import UserError
from lib.training import Record
from lib.training.evaluation import predict

MOST = 12  # images of a cell that are shown
_COLUMNS = 6
_BAR = "#C8C8C8"  # light enough to read black on it, and no class's or loss's colour
_ALT = "Test images of one cell of the confusion matrix, the most confident first, each with its class probabilities."


def mistakes(here: Notebook, test: ImageSet) -> None:
    """Choose a run, then a cell of its confusion matrix; see the images behind it."""
    records = found(test)
    if here.headless:
        first = next(iter(records.values()), None)
        _once(first if first and has_weights(first) else None, test)
        return
    import ipywidgets as widgets

    from lib.explore.page import picture, sentence, show, when_stored
    from lib.explore.trainer import Trainer

    if not records:
        exhibits.text("No run on these test images is stored yet. Train one below, then run this again.")
        return
    wide = {"layout": {"width": "60em", "max_width": "100%"}, "style": {"description_width": "3em"}}
    chosen = widgets.Dropdown(options=[(_name(r), key) for key, r in records.items()], description="run", **wide)
    grid, says, shown = Grid(), widgets.HTML(), widgets.HTML()
    trainer = Trainer(lambda: records[chosen.value].experiment)
    train = widgets.VBox(trainer.parts)

    def run_chosen(_=None) -> None:
        record = records[chosen.value]
        lacking = not has_weights(record)
        train.layout.display = "" if lacking else "none"
        grid.box.layout.display = "none" if lacking else ""
        shown.value = ""
        if lacking:
            says.value = sentence(
                f"Of this run only the figures are kept, not the weights. Train makes them again: "
                f"{record.experiment.epochs} epochs, {record.wall_time / 60:.0f} minutes where it was done first."
            )
            return
        says.value = sentence("Click a cell: true class in rows, the model's answer in columns, percent of the row.")
        grid.fill(confusion(record))
        shown.value = sentence("Looking at the test images ...")
        cell_chosen(*most_frequent(record))

    def cell_chosen(true: int, answer: int) -> None:
        grid.mark(true, answer)
        try:
            shown.value = sentence(said(records[chosen.value], test, true, answer))
            if cell(records[chosen.value], test, true, answer).size:
                shown.value += picture(draw(records[chosen.value], test, true, answer), _ALT)
        except UserError as error:
            shown.value = sentence(str(error), bad=True)

    def stored() -> None:
        nonlocal records
        records, key, lacked = found(test), chosen.value, grid.box.layout.display == "none"
        chosen.unobserve(run_chosen, names="value")  # new options choose the first of them
        chosen.options = [(_name(r), k) for k, r in records.items()]
        chosen.value = key
        chosen.observe(run_chosen, names="value")
        if lacked:
            run_chosen()

    grid.on_click = cell_chosen
    chosen.observe(run_chosen, names="value")
    run_chosen()
    when_stored("mistakes", stored)
    show(chosen, says, train, grid.box, shown)


def _once(record: Record | None, test: ImageSet) -> None:
    if record is None:
        exhibits.text("No weights of a run on these test images are stored yet; `make report` trains one.")
        return
    caption = f"Confusion matrix of {record.experiment.title} (best epoch on the test set): percent of each true class."
    alt = "A ten by ten grid of percentages, true classes in rows and predicted classes in columns."
    exhibits.figure(plots.confusion(confusion(record)), "cells", caption, alt=alt, records=[record], width="75%")
    true, answer = most_frequent(record)
    caption = said(record, test, true, answer)
    exhibits.figure(draw(record, test, true, answer), "behind", caption, alt=_ALT, records=[record])


def fits(record: Record, test: ImageSet) -> bool:
    """Whether a run was tested on these images."""
    return int(np.sum(record.last.test.confusion)) == len(test.labels)


def found(test: ImageSet) -> dict[str, Record]:
    """The runs on these test images by key, those with weights first, the best of them first."""
    fitting = [r for r in everything().records() if fits(r, test)]
    fitting.sort(key=lambda r: (has_weights(r), r.best.test.accuracy), reverse=True)
    return {r.key: r for r in fitting}


def has_weights(record: Record) -> bool:
    """Whether the best epoch's weights are stored."""
    return everything().file(record.key, "best.safetensors") is not None


def _name(record: Record) -> str:
    e = record.experiment
    reached = f"{100 * record.best.test.accuracy:.1f} % at the best epoch"
    return f"{e.title}, {circumstances(e)}: {reached}" + ("" if has_weights(record) else " (no weights)")


_known: dict[str, Tensor] = {}  # probabilities by key; 0.4 MB each


def probabilities(record: Record, test: ImageSet) -> Tensor:
    """The best epoch's class probabilities of the test images, [N, C]; computed once."""
    if record.key not in _known:
        _known[record.key] = _compute(record, test)
    return _known[record.key]


def _compute(record: Record, test: ImageSet) -> Tensor:
    model = models.build(record.experiment.model, record.experiment.seed)
    model.load_state_dict(everything().weights(record.experiment, "best"))
    # Where bfloat16 is emulated, it takes ten times as long; the few answers it would change are near ties.
    precision = record.experiment.precision if has_bfloat16(default_device().type) else "float32"
    # A second thread gains little here, and where something else trains meanwhile, the two wait for each other.
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        logits = predict(model, test.images, precision, data.load(record.experiment.data))
    finally:
        torch.set_num_threads(threads)
    return torch.sigmoid(logits) if record.experiment.loss == "sigmoid_focal" else logits.softmax(1)


def confusion(record: Record) -> np.ndarray:
    """Test images of the best epoch by true class and answer, [C, C]."""
    return np.array(record.best.test.confusion)


def most_frequent(record: Record) -> tuple[int, int]:
    """The most frequent mistake: true class, answer."""
    off = confusion(record)
    np.fill_diagonal(off, 0)
    true, answer = np.unravel_index(off.argmax(), off.shape)
    return int(true), int(answer)


def cell(record: Record, test: ImageSet, true: int, answer: int) -> np.ndarray:
    """Positions of a cell's images in the test set, the most confident first."""
    given = probabilities(record, test)
    inside = ((test.labels == true) & (given.argmax(1) == answer)).nonzero().flatten()
    return inside[given[inside, answer].argsort(descending=True)].numpy()


def said(record: Record, test: ImageSet, true: int, answer: int) -> str:
    """What a cell holds."""
    inside, of = cell(record, test, true, answer), int((test.labels == true).sum())
    what = f"recognised as {CLASS_NAMES[answer]}" if true == answer else f"taken for {CLASS_NAMES[answer]}"
    held = f"{CLASS_NAMES[true]} {what}: {len(inside):,} of {of:,} images ({100 * len(inside) / of:.1f} %)"
    if not inside.size:
        return f"{held}."
    shown = f"the {MOST} most confident" if len(inside) > MOST else "most confident first"
    return f"{held}; {shown}, each with the likeliest classes, the true one in bold."


def draw(record: Record, test: ImageSet, true: int, answer: int) -> Figure:
    """The images of a cell that is not empty, each with the likeliest classes as bars, the true one among them."""
    inside = cell(record, test, true, answer)[:MOST]
    given = probabilities(record, test).numpy()
    rows = -(-len(inside) // _COLUMNS)
    with mpl.rc_context(STYLE):
        figure, grid = plt.subplots(
            *(2 * rows, _COLUMNS), figsize=(WIDTH, 1.85 * rows), height_ratios=[1, 0.55] * rows, squeeze=False
        )
        figure.subplots_adjust(left=0.01, right=0.99, top=0.99, bottom=0.02, hspace=0.08, wspace=0.12)
        for axes in grid.flat:
            axes.axis("off")
        for n, position in enumerate(inside):
            line, column = divmod(n, _COLUMNS)
            grid[2 * line, column].imshow(test.images[position].permute(1, 2, 0).numpy(), interpolation="nearest")
            _bars(grid[2 * line + 1, column], given[position], true)
    return figure


def _bars(axes: mpl.axes.Axes, given: np.ndarray, true: int) -> None:
    likely = list(given.argsort()[::-1][:3])
    if true not in likely:
        likely[-1] = true
    axes.barh(range(3), given[likely], color=_BAR)
    for n, k in enumerate(likely):
        weight = "bold" if k == true else "normal"
        axes.text(0.02, n, f"{CLASS_NAMES[k]} {100 * given[k]:.0f} %", fontsize=7, va="center", weight=weight)
    axes.set(xlim=(0, 1), ylim=(2.6, -0.6))


class Grid:
    """A confusion matrix of buttons; `on_click` is called with true class and answer."""

    def __init__(self):
        import ipywidgets as widgets

        self.on_click = lambda true, answer: None
        name = lambda text: widgets.HTML(f'<div style="text-align: right; padding-right: .4em">{text}</div>')  # noqa: E731
        head = [widgets.HTML(f'<div style="text-align: center; font-size: 85%">{k}</div>') for k in CLASS_NAMES]
        self.cells: dict[tuple[int, int], widgets.Button] = {}
        parts = [name("true / answer"), *head]
        for true, row in enumerate(CLASS_NAMES):
            parts.append(name(row))
            for answer in range(len(CLASS_NAMES)):
                button = widgets.Button(layout={"width": "auto", "height": "2em", "padding": "0", "margin": "1px"})
                button.on_click(lambda _, true=true, answer=answer: self.on_click(true, answer))
                self.cells[true, answer] = button
                parts.append(button)
        columns = f"9em repeat({len(CLASS_NAMES)}, minmax(2.6em, 5.2em))"
        self.box = widgets.GridBox(parts, layout={"grid_template_columns": columns, "overflow": "auto"})

    def fill(self, matrix: np.ndarray) -> None:
        """Show images by true class and answer, [C, C], as shares of each true class, light to dark."""
        values = matrix / matrix.sum(axis=1, keepdims=True)
        shade = mpl.colormaps["Blues"]
        for (true, answer), button in self.cells.items():
            share = values[true, answer]
            button.description = f"{100 * share:.0f}"
            verb = "recognised as" if true == answer else "taken for"
            button.tooltip = f"{CLASS_NAMES[true]} {verb} {CLASS_NAMES[answer]}: {100 * share:.1f} %"
            button.style.button_color = mpl.colors.to_hex(shade(share))
            button.style.text_color = "white" if share > DARK else "black"

    def mark(self, *chosen: int) -> None:
        """Frame the cell of this true class and answer, and no other."""
        for place, button in self.cells.items():
            button.layout.border = "2px solid black" if place == chosen else None
