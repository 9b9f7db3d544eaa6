"""Shared parts of the panels: controls with what they show, images with alternative text, sentences."""

import base64
import html
import io
import re
from collections.abc import Callable
from pathlib import Path

import anywidget
import ipywidgets as widgets
import matplotlib.pyplot as plt
import numpy as np
from IPython import display as ipython
from matplotlib.figure import Figure
from PIL import Image

from lib.runs import index
from lib.runs.store import everything
from lib.system.errors import UserError

#: Wide enough for every label, narrow enough for two controls side by side.
CONTROL = {"style": {"description_width": "9em"}, "layout": {"width": "23em"}}
WIDE = {"style": {"description_width": "9em"}, "layout": {"width": "60em", "max_width": "100%"}}
SPOKEN = "explore-status"  # class of a widget that a screen reader reads out when it changes
WRAPPED = {"display": "flex", "flex_flow": "row wrap"}
#: Called after every run that is trained on this page; by panel, as a cell that is run again replaces its own.
on_stored: dict[str, Callable[[], None]] = {}
_LABELS = {"dataset": "data", "factor": "imbalance factor", "beta": "β", "betas": "β", "gamma": "γ"}
_LABELS |= {"deferred": "deferral (epochs)", "retrain_epochs": "retrain (epochs)"}
_LABELS |= {"best_accuracy": "best epoch (%)", "last_accuracy": "last epoch (%)"}


class Access(anywidget.AnyWidget):
    """Repairs of widgets for keyboards and screen readers; renews the panels where runs were stored since."""

    _esm = Path(__file__).with_name("page.js")
    _css = Path(__file__).with_name("page.css")

    def __init__(self) -> None:
        super().__init__()
        self._known = stored_keys()
        self.on_msg(self._opened)

    def _opened(self, *_: object) -> None:
        if (found := stored_keys()) != self._known:
            self._known = found
            for renew in [*on_stored.values()]:
                renew()


def stored_keys() -> set[str]:
    """Return the keys of all stored runs, without reading their records."""
    return {file.parent.name for folder in everything().folders for file in folder.glob(index.RECORDS)}


def label(name: str) -> str:
    """Return the label of a parameter or a column: its name in words."""
    return _LABELS.get(name, name.replace("_", " "))


def number(value: object) -> str:
    """Return a value as text, a number with the digits that it has."""
    return f"{value:.12g}" if isinstance(value, float) else str(value)


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


def download(text: str, name: str, content: str) -> str:
    """Return a link, as HTML, that saves a text as a file."""
    source = base64.b64encode(content.encode()).decode()
    return f'<p><a download="{html.escape(name)}" href="data:text/plain;base64,{source}">{html.escape(text)}</a></p>'


def fill(into: widgets.HTML, content: Callable[[], str], spoken: widgets.HTML | None = None) -> None:
    """Set a widget's HTML; a UserError is shown as a sentence in its place. `spoken` gets its sentences alone."""
    try:
        into.value = content()
    except UserError as error:
        into.value = sentence(str(error), bad=True)
    if spoken:
        spoken.value = "".join(re.findall(r"<p style.*?</p>", into.value))


def unseen() -> widgets.HTML:
    """Return a widget that a screen reader reads out when it changes, and that nobody sees."""
    return widgets.HTML().add_class(SPOKEN).add_class("explore-unseen")


def interact(controls: dict[str, widgets.Widget], draw: Callable[..., str]) -> None:
    """Display controls side by side, and below them the HTML of `draw(**values)`, renewed when one of them changes.

    No Output widget, as `interactive_output` has: on its account nbclient, with which Voila executes the page, sends on
    the socket on which it waits for the cell's reply, and may then miss that reply and wait for ever.
    """
    drawn = widgets.HTML()

    def renew(*_: object) -> None:
        fill(drawn, lambda: draw(**{name: control.value for name, control in controls.items()}))

    for control in controls.values():
        control.observe(renew, "value")
    renew()
    show([*controls.values()], drawn)


def show(*parts: widgets.Widget | list[widgets.Widget]) -> None:
    """Display the parts of a panel below each other; those in a list side by side, if the page is wide enough."""
    ipython.display(widgets.VBox([widgets.Box(p, layout=WRAPPED) if isinstance(p, list) else p for p in parts]))
