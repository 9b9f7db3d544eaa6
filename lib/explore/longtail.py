"""How a long tail looks: images per class, and a batch drawn from them."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from torch import Tensor

from lib.analysis.plots import COLOUR, STYLE, WIDTH
from lib.data import CLASS_NAMES, PROFILES, ImageSet, long_tailed_indices
from lib.notebook import exhibits
from lib.notebook.session import Notebook

BATCH = 32
FACTORS = (1.0, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01)
_COLUMNS = 8
_ALT = "Left: a bar per class with its number of training images. Right: the 32 photographs of a batch, by class."


def longtail(here: Notebook, images: ImageSet) -> None:
    """Choose factor and profile; see the counts, and a batch."""
    defaults = {"profile": "exponential", "factor": 0.01, "number": 0}
    if here.headless:
        drawn, said = draw(images, **defaults)
        caption = f"Training images per class (logarithmic scale), and the {BATCH} images of a batch. {said}"
        exhibits.figure(drawn, "longtail", caption, alt=_ALT)
        return
    import ipywidgets as widgets

    from lib.explore.page import CONTROL, picture, redraw, row, sentence, show

    profile = widgets.Dropdown(options=PROFILES, description="profile", **CONTROL)
    factor = widgets.SelectionSlider(options=FACTORS, value=0.01, description="imbalance factor", **CONTROL)
    number = widgets.BoundedIntText(value=0, min=0, max=10**6, description="batch number", **CONTROL)
    shown = widgets.HTML()

    def html(**chosen) -> str:
        drawn, said = draw(images, **chosen)
        return picture(drawn, _ALT) + sentence(said)

    redraw({"profile": profile, "factor": factor, "number": number}, shown, html)
    show(row(profile, factor, number), shown)


def draw(images: ImageSet, profile: str, factor: float, number: int) -> tuple[Figure, str]:
    """The panel's figure, and what is to be expected of a batch."""
    kept = long_tailed_indices(images.labels.numpy(), factor, profile)
    labels = images.labels[kept].numpy()
    counts = np.bincount(labels, minlength=len(CLASS_NAMES))
    chosen = np.random.default_rng(number).choice(len(kept), size=min(BATCH, len(kept)), replace=False)
    chosen = chosen[np.argsort(labels[chosen], kind="stable")]
    with mpl.rc_context(STYLE):
        figure, (left, right) = plt.subplots(1, 2, figsize=(WIDTH, 3.1), width_ratios=(1, 1.5), layout="constrained")
        bars = left.barh(CLASS_NAMES, counts, color=COLOUR["train"])
        left.bar_label(bars, labels=[f"{n:,}" for n in counts], fontsize=8, padding=2)
        left.set(xscale="log", xlabel="training images", xlim=(0.8, 8 * counts.max()))
        left.xaxis.set_major_formatter("{x:,.0f}")
        left.invert_yaxis()
        right.axis("off")
        _tiles(right, images.images[kept[chosen]], labels[chosen])
    return figure, _expected(counts)


def _tiles(axes: mpl.axes.Axes, images: Tensor, labels: np.ndarray) -> None:
    """A batch as one picture, with a name below the first image of each class in a row: there is room for that."""
    high, wide = 44, 40
    rows = -(-len(images) // _COLUMNS)
    sheet = np.full((rows * high, _COLUMNS * wide, 3), 255, np.uint8)
    for n, image in enumerate(images.permute(0, 2, 3, 1).numpy()):
        top, start = n // _COLUMNS * high, n % _COLUMNS * wide
        sheet[top : top + 32, start : start + 32] = image
        if n % _COLUMNS == 0 or labels[n] != labels[n - 1]:
            axes.text(start, top + 33, CLASS_NAMES[labels[n]], fontsize=6, va="top")
    axes.imshow(sheet, interpolation="nearest")


def _expected(counts: np.ndarray) -> str:
    share = counts / counts.sum()
    head, tail = int(counts.argmax()), int(counts.argmin())
    missing = 1 - (1 - share[tail]) ** BATCH
    return (
        f"{counts.sum():,} training images. A batch of {BATCH} holds {BATCH * share[head]:.1f} of class "
        f"{CLASS_NAMES[head]} on average, and {BATCH * share[tail]:.1f} of {CLASS_NAMES[tail]}: "
        f"{100 * missing:.0f} % of the batches have one at all."
    )
