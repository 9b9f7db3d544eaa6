"""The long-tail panel: training images per class, and a batch drawn from them."""

import ipywidgets as widgets
import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

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
    controls = {
        "profile": widgets.Dropdown(description="profile", options=PROFILES, **page.CONTROL),
        "factor": widgets.SelectionSlider(description="imbalance factor", options=FACTORS, value=0.01, **page.CONTROL),
        "number": widgets.BoundedIntText(description="batch number", max=10**6, **page.CONTROL),
    }
    shown = page.redraw(controls, lambda **chosen: page.picture(*draw(dataset, **chosen), alt=_ALT))
    page.show([*controls.values()], shown)


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
    # The batch as one image of tiles, with room below each for a name.
    tiles = dataset.train.images[subset[chosen]].permute(0, 2, 3, 1).numpy()
    margins = ((0, -len(tiles) % _COLUMNS), (0, 12), (0, 8), (0, 0))
    tiles = np.pad(tiles, margins, constant_values=255)
    _, high, wide, _ = tiles.shape
    sheet = tiles.reshape(-1, _COLUMNS, high, wide, 3).swapaxes(1, 2).reshape(-1, _COLUMNS * wide, 3)
    right.imshow(sheet, interpolation="nearest")
    right.axis("off")
    for n, label in enumerate(labels[chosen]):
        row, column = divmod(n, _COLUMNS)
        if column == 0 or label != labels[chosen[n - 1]]:  # not below each tile, where they would not fit
            right.text(column * wide, (row + 1) * high - 11, dataset.classes[label], fontsize=6, va="top")
    share = counts / counts.sum()
    head, tail = int(counts.argmax()), int(counts.argmin())
    summary = (
        f"{counts.sum():,} training images. A batch of {BATCH} holds on average {BATCH * share[head]:.1f} images of "
        f"{dataset.classes[head]} and {BATCH * share[tail]:.1f} of {dataset.classes[tail]}; "
        f"{100 - 100 * (1 - share[tail]) ** BATCH:.0f} % of the batches hold at least one of {dataset.classes[tail]}."
    )
    return figure, summary
