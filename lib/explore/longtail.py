"""The long-tail panel: training images per class, and a batch drawn from them."""

import ipywidgets as widgets
import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from lib.analysis import plots
from lib.data import PROFILES, Dataset, long_tailed_indices
from lib.explore import page
from lib.notebook import exhibits
from lib.notebook.session import Notebook

BATCH = 32
FACTORS = (1.0, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01)
_COLUMNS = 8
_ALT = f"Left: a bar per class with its number of training images. Right: the {BATCH} photographs of a batch, by class."


def longtail(here: Notebook, dataset: Dataset) -> None:
    """Show images per class and a batch, for a chosen profile, imbalance factor and batch number."""
    if here.headless:
        drawn, summary = draw(dataset, profile="exponential", factor=0.01, number=0)
        caption = f"Training images per class (logarithmic scale), and the {BATCH} images of a batch. {summary}"
        exhibits.figure(drawn, "longtail", caption, alt=_ALT)
        return
    look = page.CONTROL
    controls = {
        "profile": widgets.Dropdown(options=PROFILES, description="profile", **look),
        "factor": widgets.SelectionSlider(options=FACTORS, value=0.01, description="imbalance factor", **look),
        "number": widgets.BoundedIntText(value=0, min=0, max=10**6, description="batch number", **look),
    }

    def html(**chosen) -> str:
        drawn, summary = draw(dataset, **chosen)
        return page.picture(drawn, _ALT) + page.sentence(summary)

    page.show([*controls.values()], page.redraw(controls, html))


@mpl.rc_context(plots.STYLE)
def draw(dataset: Dataset, profile: str, factor: float, number: int) -> tuple[Figure, str]:
    """Return the panel's figure, and the expected content of a batch as a sentence."""
    subset = long_tailed_indices(dataset.train.labels.numpy(), factor, profile)
    labels = dataset.train.labels[subset].numpy()
    counts = np.bincount(labels, minlength=len(dataset.classes))
    chosen = np.random.default_rng(number).choice(len(subset), size=min(BATCH, len(subset)), replace=False)
    chosen = chosen[np.argsort(labels[chosen], kind="stable")]
    figure, (left, right) = plots.subplots(1, 2, height=3.1, width_ratios=(1, 1.5))
    bars = left.barh(dataset.classes, counts, color=plots.COLOUR["train"])
    left.bar_label(bars, labels=[f"{n:,}" for n in counts], fontsize=8, padding=2)
    left.set(xscale="log", xlabel="training images", xlim=(0.8, 8 * counts.max()))
    left.xaxis.set_major_formatter("{x:,.0f}")
    left.invert_yaxis()
    right.axis("off")
    _tiles(right, dataset.train.images[subset[chosen]], [dataset.classes[k] for k in labels[chosen]])
    share = counts / counts.sum()
    head, tail = int(counts.argmax()), int(counts.argmin())
    summary = (
        f"{counts.sum():,} training images. A batch of {BATCH} holds on average {BATCH * share[head]:.1f} images of "
        f"{dataset.classes[head]} and {BATCH * share[tail]:.1f} of {dataset.classes[tail]}; "
        f"{100 - 100 * (1 - share[tail]) ** BATCH:.0f} % of the batches hold at least one of {dataset.classes[tail]}."
    )
    return figure, summary


def _tiles(axes: Axes, images: Tensor, names: list[str]) -> None:
    """Draw images as tiles; the first of each class in a row has its name below, as all of them would not fit."""
    height, width = images.shape[2:]
    high, wide = height + 12, width + 8
    rows = -(-len(images) // _COLUMNS)
    sheet = np.full((rows * high, _COLUMNS * wide, 3), 255, np.uint8)
    for n, image in enumerate(images.permute(0, 2, 3, 1).numpy()):
        top, start = n // _COLUMNS * high, n % _COLUMNS * wide
        sheet[top : top + height, start : start + width] = image
        if n % _COLUMNS == 0 or names[n] != names[n - 1]:
            axes.text(start, top + height + 1, names[n], fontsize=6, va="top")
    axes.imshow(sheet, interpolation="nearest")
