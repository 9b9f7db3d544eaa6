"""Shared parts of the panels: controls with what they show, images with alternative text, sentences."""

import base64
import html
import io
from collections.abc import Callable

import ipywidgets as widgets
import matplotlib.pyplot as plt
import numpy as np
from IPython import display as ipython
from matplotlib.figure import Figure
from PIL import Image

from lib.system.errors import UserError

#: Wide enough for every label, narrow enough for two controls side by side.
CONTROL = {"style": {"description_width": "9em"}, "layout": {"width": "23em"}}
#: Called after every run that is trained on this page; by panel, as a cell that is run again replaces its own.
on_stored: dict[str, Callable[[], None]] = {}
_LABELS = {"dataset": "data", "factor": "imbalance factor", "beta": "β", "betas": "β", "gamma": "γ (focal)"}
_LABELS |= {"best_accuracy": "best epoch (%)", "last_accuracy": "last epoch (%)"}


def label(name: str) -> str:
    """Return the label of a parameter or a column: its name in words."""
    return _LABELS.get(name, name.replace("_", " "))


def picture(drawn: Figure | np.ndarray, below: str = "", *, alt: str) -> str:
    """Return a figure, which is closed, or its pixels as an HTML image, and a sentence below it."""
    buffer = io.BytesIO()
    if isinstance(drawn, Figure):
        drawn.savefig(buffer, format="png", dpi=130)
        plt.close(drawn)
    else:
        Image.fromarray(drawn).convert("RGB").save(buffer, "PNG", compress_level=1)
    source = base64.b64encode(buffer.getvalue()).decode()
    image = f'<img alt="{html.escape(alt)}" src="data:image/png;base64,{source}" style="width: 100%; max-width: 60em">'
    return image + (sentence(below) if below else "")


def sentence(text: str, bad: bool = False) -> str:
    """Return a sentence as an HTML paragraph, in red if `bad`."""
    colour = "color: #B3261E; " if bad else ""
    return f'<p style="{colour}line-height: 1.4; max-width: 60em">{html.escape(text)}</p>'


def fill(into: widgets.HTML, content: Callable[[], str]) -> None:
    """Set a widget's HTML; a UserError is shown as a sentence in its place."""
    try:
        into.value = content()
    except UserError as error:
        into.value = sentence(str(error), bad=True)


def interact(controls: dict[str, widgets.Widget], draw: Callable[..., str]) -> None:
    """Display controls side by side, and below them the HTML of `draw(**values)`, renewed when one of them changes."""
    output = widgets.interactive_output(lambda **values: ipython.display(ipython.HTML(draw(**values))), controls)
    show([*controls.values()], output)


def show(*parts: widgets.Widget | list[widgets.Widget]) -> None:
    """Display the parts of a panel below each other; those in a list side by side, if the page is wide enough."""
    look = {"display": "flex", "flex_flow": "row wrap"}
    ipython.display(widgets.VBox([widgets.Box(p, layout=look) if isinstance(p, list) else p for p in parts]))
