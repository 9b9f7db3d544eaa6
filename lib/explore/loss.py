"""The loss panel: effective numbers and class weights for a β, focal loss and its gradient for a γ."""

import io
from collections.abc import Sequence
from functools import cache

import ipywidgets as widgets
import matplotlib as mpl
import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from lib import losses
from lib.analysis.plots import COLOUR, PERCENT, STYLE, WIDTH
from lib.explore import page
from lib.notebook import exhibits
from lib.notebook.session import Notebook

BETAS = (0.0, 0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999, 0.9995, 0.9999, 0.99999, 1.0)
#: Probabilities of the true class at which the focal loss is drawn.
PROBABILITIES = np.linspace(0.01, 0.99, 99)
_ALT = (
    "Four plots: the effective number of images of each class beside its true number, the class weights, the focal "
    "loss of an image against the probability of its true class, and its gradient; both beside cross-entropy."
)


def loss(here: Notebook, classes: Sequence[str], counts: Sequence[int]) -> None:
    """Show the class-balanced focal loss on these training images per class, for a chosen β and γ."""
    plots = Plots(classes, counts)
    if here.headless:
        plots.choose(beta=0.99, gamma=1.0)
        caption = (
            "Effective numbers and class weights at β = 0.99, focal loss and gradient at γ = 1, and cross-entropy."
        )
        exhibits.figure(plots.figure, "loss", caption, alt=_ALT)
        return
    betas = [(f"{beta:g}", beta) for beta in BETAS]
    gamma = widgets.FloatSlider(description="γ", value=1, max=5, step=0.1, readout_format=".1f", **page.CONTROL)
    controls = {
        "beta": widgets.SelectionSlider(description="β", options=betas, value=0.99, **page.CONTROL),
        "gamma": gamma,
    }
    shown = page.redraw(controls, lambda **at: page.picture(plots.png(**at), describe(counts, **at), alt=_ALT))
    page.show([*controls.values()], shown)


def describe(counts: Sequence[int], beta: float, gamma: float) -> str:
    """Return the ratio of the class weights, and the focal loss relative to cross-entropy, as sentences."""
    weights = losses.class_balanced_weights(counts, beta)
    sure, unsure = (curve(gamma)[0][np.abs(PROBABILITIES - p).argmin()] / -np.log(p) for p in (0.9, 0.5))
    return (
        f"The largest class weight is {weights.max() / weights.min():.4g} times the smallest. The focal loss of an "
        f"image is {100 * sure:.0f} % of its cross-entropy where the true class has a probability of 90 %, and "
        f"{100 * unsure:.0f} % where it has 50 %."
    )


@cache
def curve(gamma: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the focal loss at PROBABILITIES, and the negative of its derivative by the true class's logit."""
    true = torch.logit(torch.tensor(PROBABILITIES)).requires_grad_()
    logits = torch.stack([true, torch.zeros_like(true)], dim=1)
    targets, weights = torch.zeros(1, dtype=torch.long), torch.ones(2)
    values = torch.stack([losses.focal(each[None], targets, weights, gamma) for each in logits])
    values.sum().backward()
    return values.detach().numpy(), -true.grad.numpy()


class Plots:
    """The panel's four plots. Axes and labels are drawn once; a new β or γ redraws lines and points only.

    Args:
        classes: names of the classes, [C].
        counts: training images per class, [C].
    """

    @mpl.rc_context(STYLE | {"axes.titlesize": 9, "legend.fontsize": 8})
    def __init__(self, classes: Sequence[str], counts: Sequence[int]):
        self._counts, places = list(counts), range(len(classes))
        self.figure = Figure(figsize=(WIDTH, 4.6), layout="constrained", dpi=150)
        self._canvas = FigureCanvasAgg(self.figure)
        number, weight, value, pull = self.figure.subplots(2, 2).flat
        # Matplotlib leaves animated artists out of what it draws on a canvas, but not out of a saved file.
        point = {"marker": "o", "ms": 5, "ls": "", "color": COLOUR["class-balanced"], "animated": True}
        line = {"lw": 2, "ls": "--", "color": COLOUR["class-balanced"], "animated": True}
        self._moving = [
            *number.plot(places, counts, label="effective number", **point),
            *weight.plot(places, counts, **point),
            *value.plot(PROBABILITIES, PROBABILITIES, label="focal", **line),
            *pull.plot(PROBABILITIES, PROBABILITIES, **line),
        ]
        number.plot(places, counts, "_", ms=12, color=COLOUR["original"], label="images")
        number.set(title="images of a class", yscale="log", ylim=(0.7, 2 * max(counts)))
        number.yaxis.set_major_formatter("{x:,.0f}")
        weight.axhline(1, color=COLOUR["CE"], lw=1, label="equal weights")
        weight.set(title="class weight (mean 1)", yscale="log", ylim=(0.02, 12))
        weight.yaxis.set_major_formatter("{x:g}")
        value.set(title="loss of an image (nats)", ylim=(0, 3))
        pull.set(title="negative gradient by the true class's logit", ylim=(0, 1.3))
        for axes, plain in zip((value, pull), curve(0.0), strict=True):
            axes.plot(PROBABILITIES, plain, color=COLOUR["CE"], lw=1.2, label="cross-entropy")
            axes.set(xlabel="probability of the true class", xlim=(0, 1))
            axes.xaxis.set_major_formatter(PERCENT)
        for axes in (number, weight):
            axes.set_xticks(places, classes, rotation=40, ha="right", rotation_mode="anchor")
        for axes, place in ((number, "upper right"), (weight, "lower right"), (value, "upper right")):
            axes.legend(loc=place)
        self._canvas.draw()
        self._still = self._canvas.copy_from_bbox(self.figure.bbox)

    def choose(self, beta: float, gamma: float) -> None:
        """Set lines and points."""
        effective, weights = (f(self._counts, beta) for f in (losses.effective_number, losses.class_balanced_weights))
        for line, values in zip(self._moving, (effective, weights, *curve(gamma)), strict=True):
            line.set_ydata(values)

    def png(self, beta: float, gamma: float) -> bytes:
        """Return the figure as a PNG file, in a few hundredths of a second."""
        self._canvas.restore_region(self._still)
        self.choose(beta, gamma)
        for line in self._moving:
            line.axes.draw_artist(line)
        buffer = io.BytesIO()
        Image.fromarray(np.asarray(self._canvas.buffer_rgba())).convert("RGB").save(buffer, "PNG", compress_level=1)
        return buffer.getvalue()
