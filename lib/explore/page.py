"""Shared parts of the panels: images with alternative text, sentences, redrawing, and notice of newly stored runs."""

import base64
import html
import io
from collections.abc import Callable
from typing import Any

import ipywidgets as widgets
import matplotlib.pyplot as plt
from IPython import display as ipython
from matplotlib.figure import Figure

from lib.system.errors import UserError

#: Wide enough for every label, narrow enough for two controls side by side.
CONTROL = {"style": {"description_width": "9em"}, "layout": {"width": "23em"}}
_listeners: dict[str, Callable[[], None]] = {}  # by panel: a cell that is run again replaces its own


def picture(drawn: Figure | bytes, alt: str) -> str:
    """Return a figure, which is closed, or the content of a PNG file as an HTML image with its data inline."""
    if isinstance(drawn, Figure):
        buffer = io.BytesIO()
        drawn.savefig(buffer, format="png", dpi=130)
        plt.close(drawn)
        drawn = buffer.getvalue()
    source = base64.b64encode(drawn).decode()
    return f'<img alt="{html.escape(alt)}" src="data:image/png;base64,{source}" style="width: 100%; max-width: 60em">'


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


def redraw(controls: dict[str, widgets.Widget], draw: Callable[..., str]) -> widgets.HTML:
    """Return a widget with the HTML of `draw(**values)`, renewed whenever a control changes."""
    shown = widgets.HTML()

    def renew(_: Any = None) -> None:
        fill(shown, lambda: draw(**{name: control.value for name, control in controls.items()}))

    for control in controls.values():
        control.observe(renew, names="value")
    renew()
    return shown


def show(*parts: widgets.Widget | list[widgets.Widget]) -> None:
    """Display the parts of a panel below each other; those in a list side by side, if the page is wide enough."""
    look = {"display": "flex", "flex_flow": "row wrap"}
    ipython.display(widgets.VBox([widgets.Box(p, layout=look) if isinstance(p, list) else p for p in parts]))


def on_stored(panel: str, call: Callable[[], None]) -> None:
    """Register a panel's function to be called after every run that is trained on this page."""
    _listeners[panel] = call


def stored() -> None:
    """Tell the panels that a run was trained on this page."""
    for call in _listeners.values():
        call()
