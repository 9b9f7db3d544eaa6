"""The panels of the long tail and of the loss: what an imbalance factor, a profile, a β and a γ do."""

from collections.abc import Sequence
from functools import cache

import ipywidgets as widgets
import matplotlib as mpl
import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from explore import page
from lib import losses
from lib.analysis import plots
from lib.analysis.plots import COLOUR, PERCENT
from lib.data import PROFILES, Dataset, long_tailed_indices

BATCH = 32
BETAS = (0.0, 0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999, 0.9995, 0.9999, 0.99999, 1.0)
#: Probabilities of the true class at which the focal loss is drawn.
PROBABILITIES = np.linspace(0.01, 0.99, 99)


def longtail(dataset: Dataset) -> None:
    """Show images per class and a batch, for a chosen profile, imbalance factor and batch number."""
    factors = [1.0, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01]
    controls = {
        "profile": widgets.Dropdown(description="profile", options=list(PROFILES), **page.CONTROL),
        "factor": widgets.SelectionSlider(description="imbalance factor", options=factors, value=0.01, **page.CONTROL),
        "number": widgets.BoundedIntText(description="batch number", max=10**6, **page.CONTROL),
    }
    alt = f"Left: a bar per class with its number of training images. Right: the {BATCH} images of a batch, by class."
    page.interact(controls, lambda **chosen: page.picture(*draw_tail(dataset, **chosen), alt=alt))


@mpl.rc_context(plots.STYLE)
def draw_tail(dataset: Dataset, profile: str, factor: float, number: int) -> tuple[Figure, str]:
    """Return the panel's figure, and the expected content of a batch as a sentence."""
    subset = long_tailed_indices(dataset.train.labels.numpy(), factor, profile)
    labels = dataset.train.labels[subset].numpy()
    counts = np.bincount(labels, minlength=len(dataset.classes))
    chosen = np.random.default_rng(number).choice(len(subset), size=min(BATCH, len(subset)), replace=False)
    chosen = chosen[np.argsort(labels[chosen], kind="stable")]
    figure, (left, right) = plots.subplots(1, 2, height=3.1, width_ratios=(1, 1.5))
    bars = left.barh(dataset.classes, counts, color=COLOUR["train"])
    left.bar_label(bars, labels=[f"{n:,}" for n in counts], fontsize=8, padding=2)
    left.set(xscale="log", xlabel="training images", xlim=(0.8, 8 * counts.max()))
    left.xaxis.set_major_formatter("{x:,.0f}")
    left.invert_yaxis()
    # The batch as one image of tiles, with room below each for a name.
    columns, tiles = 8, dataset.train.images[subset[chosen]].permute(0, 2, 3, 1).numpy()
    tiles = np.pad(tiles, ((0, -len(tiles) % columns), (0, 12), (0, 8), (0, 0)), constant_values=255)
    _, high, wide, _ = tiles.shape
    sheet = tiles.reshape(-1, columns, high, wide, 3).swapaxes(1, 2).reshape(-1, columns * wide, 3)
    right.imshow(sheet, interpolation="nearest")
    right.axis("off")
    for n, label in enumerate(labels[chosen]):
        row, column = divmod(n, columns)
        if column == 0 or label != labels[chosen[n - 1]]:  # not below each tile, where they would not fit
            right.text(column * wide, (row + 1) * high - 11, dataset.classes[label], fontsize=6, va="top")
    share = counts / counts.sum()
    head, tail = int(counts.argmax()), int(counts.argmin())
    name = some = dataset.classes[tail]
    said = f"{BATCH * share[head]:.1f} images of {dataset.classes[head]} and {BATCH * share[tail]:.1f} of {name}"
    if counts[head] == counts[tail]:
        said, some = f"{BATCH * share[tail]:.1f} images of each class", "a given class"
    return figure, (
        f"{counts.sum():,} training images. A batch of {BATCH} holds on average {said}; "
        f"{100 - 100 * (1 - share[tail]) ** BATCH:.0f} % of the batches hold at least one of {some}."
    )


def loss(classes: Sequence[str], counts: Sequence[int]) -> None:
    """Show the class-balanced focal loss on these training images per class, for a chosen β and γ."""
    four = Plots(classes, counts)
    betas = [(f"{beta:g}", beta) for beta in BETAS]
    controls = {
        "beta": widgets.SelectionSlider(description="β", options=betas, value=0.99, **page.CONTROL),
        "gamma": widgets.FloatSlider(description="γ", value=1, max=5, readout_format=".1f", **page.CONTROL),
    }
    alt = (
        "Four plots: the effective number of images of each class beside its true number, the class weights, the focal "
        "loss of an image against the probability of its true class, and its gradient; both beside cross-entropy."
    )
    page.interact(controls, lambda **at: page.picture(four.pixels(**at), describe(counts, **at), alt=alt))


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
    """The panel's four plots. Axes and labels are drawn once; a new β or γ redraws lines and points only."""

    @mpl.rc_context(plots.STYLE | {"axes.titlesize": 9, "legend.fontsize": 8})
    def __init__(self, classes: Sequence[str], counts: Sequence[int]):
        self._counts, places = list(counts), range(len(classes))
        self.figure = Figure(figsize=(plots.WIDTH, 4.6), layout="constrained", dpi=150)
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
        pull.set(title="negative gradient by the true class's logit", ylim=(0, 1.5))
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

    def pixels(self, beta: float, gamma: float) -> np.ndarray:
        """Return the figure as [height, width, RGBA], in a few hundredths of a second."""
        self._canvas.restore_region(self._still)
        effective, weights = (f(self._counts, beta) for f in (losses.effective_number, losses.class_balanced_weights))
        for line, values in zip(self._moving, (effective, weights, *curve(gamma)), strict=True):
            line.set_ydata(values)
            line.axes.draw_artist(line)
        return np.asarray(self._canvas.buffer_rgba())
