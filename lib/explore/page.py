"""What the panels share: pictures with alternative text, sentences, and a control that redraws."""

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

#: So wide that labels are not cut off, so narrow that two controls stand beside each other.
CONTROL = {"style": {"description_width": "9em"}, "layout": {"width": "23em"}}


def picture(drawn: Figure, alt: str) -> str:
    """A figure as HTML, in the page itself; closes it."""
    buffer = io.BytesIO()
    drawn.savefig(buffer, format="png", dpi=130)
    plt.close(drawn)
    return png(buffer.getvalue(), alt)


def png(content: bytes, alt: str) -> str:
    """A PNG file as HTML, in the page itself."""
    source = base64.b64encode(content).decode()
    return f'<img alt="{html.escape(alt)}" src="data:image/png;base64,{source}" style="width: 100%; max-width: 60em">'


def sentence(text: str, bad: bool = False) -> str:
    """A sentence as HTML."""
    colour = "color: #B3261E; " if bad else ""
    return f'<p style="{colour}line-height: 1.4; max-width: 60em">{html.escape(text)}</p>'


_when_stored: dict[str, Callable[[], None]] = {}


def when_stored(panel: str, call: Callable[[], None]) -> None:
    """Have a panel look again when a run was trained on this page; a panel shown anew takes its old place."""
    _when_stored[panel] = call


def stored() -> None:
    """A run was trained on this page."""
    for call in _when_stored.values():
        call()


def redraw(controls: dict[str, widgets.Widget], into: widgets.HTML, draw: Callable[..., str]) -> None:
    """Draw now, and again whenever a control changes; what is wrong is said in the picture's place."""

    def again(_: Any = None) -> None:
        try:
            into.value = draw(**{name: control.value for name, control in controls.items()})
        except UserError as error:
            into.value = sentence(str(error), bad=True)

    for control in controls.values():
        control.observe(again, names="value")
    again()


def show(*parts: widgets.Widget) -> None:
    """Show a panel, its parts below each other."""
    ipython.display(widgets.VBox(parts))


def row(*parts: widgets.Widget) -> widgets.Box:
    """Controls beside each other, on several lines where there is no room."""
    return widgets.Box(parts, layout=widgets.Layout(display="flex", flex_flow="row wrap"))
