"""What β and γ do: effective numbers, class weights, the focal curve and its gradient."""

import io
from collections.abc import Sequence
from functools import cache

import matplotlib as mpl
import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from lib import losses
from lib.analysis.plots import COLOUR, PERCENT, STYLE, WIDTH
from lib.data import CLASS_NAMES
from lib.notebook import exhibits
from lib.notebook.session import Notebook

BETAS = (0.0, 0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999, 0.9995, 0.9999, 0.99999, 1.0)
_ALT = (
    "Four plots: the effective number of images of each class beside its true number, the class weights, the focal "
    "loss of an image against the probability of its true class, and its gradient; both beside cross-entropy."
)


def loss(here: Notebook, counts: Sequence[int]) -> None:
    """Choose β and γ; see what they do on these counts."""
    if here.headless:
        plots = Plots(counts, animated=False)
        plots.choose(beta=0.99, gamma=1.0)
        caption = (
            "Effective numbers and class weights at β = 0.99, focal loss and gradient at γ = 1, beside cross-entropy."
        )
        exhibits.figure(plots.figure, "loss", caption, alt=_ALT)
        return
    import ipywidgets as widgets

    from lib.explore.page import CONTROL, png, redraw, row, sentence, show

    plots = Plots(counts)
    beta = widgets.SelectionSlider(options=[(f"{b:g}", b) for b in BETAS], value=0.99, description="β", **CONTROL)
    gamma = widgets.FloatSlider(value=1, min=0, max=5, step=0.1, description="γ", readout_format=".1f", **CONTROL)
    shown = widgets.HTML()

    def html(beta: float, gamma: float) -> str:
        return png(plots.png(beta, gamma), _ALT) + sentence(said(counts, beta, gamma))

    redraw({"beta": beta, "gamma": gamma}, shown, html)
    show(row(beta, gamma), shown)


def said(counts: Sequence[int], beta: float, gamma: float) -> str:
    """What the choice comes to."""
    weights = losses.class_balanced_weights(counts, beta)
    sure, unsure = (curve(gamma)[0][np.abs(_P - p).argmin()] / -np.log(p) for p in (0.9, 0.5))
    return (
        f"The largest class weight is {weights.max() / weights.min():.4g} times the smallest. An image that the model "
        f"is 90 % sure of counts {100 * sure:.0f} % of what it counts under cross-entropy, one at 50 % counts "
        f"{100 * unsure:.0f} %."
    )


_P = np.linspace(0.01, 0.99, 99)


@cache
def curve(gamma: float) -> tuple[np.ndarray, np.ndarray]:
    """Focal loss and its pull on the true class's logit, by that class's probability: two arrays as long as _P."""
    true = torch.logit(torch.tensor(_P)).requires_grad_()
    logits = torch.stack([true, torch.zeros_like(true)], dim=1)
    targets, weights = torch.zeros(1, dtype=torch.long), torch.ones(2)
    values = torch.stack([losses.focal(each[None], targets, weights, gamma) for each in logits])
    values.sum().backward()
    return values.detach().numpy(), -true.grad.numpy()


class Plots:
    """The four plots. Axes and labels are drawn once; a choice then redraws lines and points only.

    Args:
        counts: training images per class, [C].
        animated: False draws everything into the figure as usual.
    """

    def __init__(self, counts: Sequence[int], animated: bool = True):
        self._counts = list(counts)
        with mpl.rc_context(STYLE):
            self.figure = Figure(figsize=(WIDTH, 4.6), layout="constrained")
            self._canvas = FigureCanvasAgg(self.figure)
            number, weight, value, pull = self.figure.subplots(2, 2).flat
            point = {"ms": 5, "ls": "", "color": COLOUR["class-balanced"], "animated": animated}
            (self._number,) = number.plot(CLASS_NAMES, counts, "o", label="effective number", **point)
            number.plot(CLASS_NAMES, counts, "_", ms=12, color=COLOUR["published"], label="images")
            number.set(title="images of a class", yscale="log", ylim=(0.7, 2 * max(counts)))
            (self._weight,) = weight.plot(CLASS_NAMES, np.ones(len(counts)), "o", **point)
            weight.axhline(1, color=COLOUR["CE"], lw=1, label="all alike")
            weight.set(title="class weight (mean 1)", yscale="log", ylim=(0.02, 12))
            line = {"lw": 2, "ls": "--", "color": COLOUR["class-balanced"], "animated": animated}
            (self._value,) = value.plot(_P, _P, label="focal", **line)
            (self._pull,) = pull.plot(_P, _P, **line)
            for axes, plain in zip((value, pull), curve(0.0), strict=True):
                axes.plot(_P, plain, color=COLOUR["CE"], lw=1.2, label="cross-entropy")
                axes.set(xlabel="probability of the true class", xlim=(0, 1))
                axes.xaxis.set_major_formatter(PERCENT)
            value.set(title="loss of an image (nats)", ylim=(0, 3))
            pull.set(title="gradient: pull on the true class's logit", ylim=(0, 1.3))
            for axes in (number, weight):
                axes.tick_params(axis="x", rotation=40)
                for name in axes.get_xticklabels():
                    name.set(ha="right", rotation_mode="anchor")
            number.yaxis.set_major_formatter("{x:,.0f}")
            weight.yaxis.set_major_formatter("{x:g}")
            for axes, place in ((number, "upper right"), (weight, "lower right"), (value, "upper right")):
                axes.legend(fontsize=8, loc=place)
            for axes in (number, weight, value, pull):
                axes.title.set_fontsize(9)
        self._moving = ((number, self._number), (weight, self._weight), (value, self._value), (pull, self._pull))
        self._still = None

    def choose(self, beta: float, gamma: float) -> None:
        """Set lines and points."""
        self._number.set_ydata(losses.effective_number(self._counts, beta))
        self._weight.set_ydata(losses.class_balanced_weights(self._counts, beta))
        for line, values in zip((self._value, self._pull), curve(gamma), strict=True):
            line.set_ydata(values)

    def png(self, beta: float, gamma: float) -> bytes:
        """The figure as a PNG file, in a few hundredths of a second."""
        if self._still is None:
            self.figure.set_dpi(150)
            self._canvas.draw()
            self._still = self._canvas.copy_from_bbox(self.figure.bbox)
        self._canvas.restore_region(self._still)
        self.choose(beta, gamma)
        for axes, artist in self._moving:
            axes.draw_artist(artist)
        buffer = io.BytesIO()
        Image.fromarray(np.asarray(self._canvas.buffer_rgba())).convert("RGB").save(buffer, "PNG", compress_level=1)
        return buffer.getvalue()
