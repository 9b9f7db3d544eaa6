"""What a notebook shows, so that JupyterLab, HTML and PDF all show it well.

A figure or a table is one stored output: vector graphics or an HTML table, with its caption, alternative text
and the runs it comes from in the output's metadata. The report numbers the captions; in JupyterLab the caption
follows as text of its own. No widget is involved.
"""

import io
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import matplotlib.pyplot as plt
import pandas as pd
from IPython import display as ipython
from matplotlib.figure import Figure
from pandas.io.formats.style import Styler

from lib import figures
from lib.experiment import Experiment
from lib.progress import Event
from lib.training import Epoch, Record


def figure(
    drawn: Figure,
    name: str,
    caption: str,
    *,
    alt: str,
    records: Sequence[Record] = (),
    width: str = "100%",
) -> None:
    """Show a figure.

    Args:
        name: what the figure is called in the report's list of origins.
        caption: markdown.
        alt: what the figure shows, in words, for those who do not see it.
        records: the runs it is drawn from.
        width: of the text's width, in HTML and PDF.
    """
    data = {"image/svg+xml": svg(drawn), "text/plain": alt}
    _publish(data, caption, {"kind": "figure", "name": name, "alt": alt, "width": width}, records)


def table(content: pd.DataFrame | Styler, name: str, caption: str, *, records: Sequence[Record] = ()) -> None:
    """Show a table; arguments as for `figure`."""
    html = content.to_html()
    plain = (content.data if isinstance(content, Styler) else content).to_string()
    _publish({"text/html": html, "text/plain": plain}, caption, {"kind": "table", "name": name}, records)


def text(markdown: str) -> None:
    """Show prose that was generated from figures; nothing where there is none."""
    if not markdown:
        return
    ipython.display(ipython.Markdown(_unbroken(markdown)))


def failed(reasons: Sequence[tuple[Experiment, str]]) -> None:
    """Show which runs failed and why, where their figures would be; the runner takes note of it."""
    lines = "\n".join(f"- {experiment.title}: {why}" for experiment, why in reasons)
    markdown = f"**{len(reasons)} of the runs failed;** what follows leaves them out.\n\n{lines}"
    data = {"text/markdown": _unbroken(markdown), "text/plain": markdown}
    ipython.display(data, raw=True, metadata={"writeup_failed": [experiment.title for experiment, _ in reasons]})


def headline(markdown: str) -> None:
    """Show the notebook's main result in a sentence or two; the report repeats it on its first page.

    Nothing where there is none.
    """
    if not markdown:
        return
    data = {"text/markdown": _unbroken(markdown), "text/plain": markdown}
    ipython.display(data, raw=True, metadata={"writeup_headline": True})


def _unbroken(markdown: str) -> str:
    """Percentages that stay on one line."""
    return re.sub(r"(?<=\d) %", "\u00a0%", markdown)


def svg(drawn: Figure) -> str:
    """The figure as SVG, the same bytes for the same content; closes it."""
    buffer = io.StringIO()
    with plt.rc_context({"svg.hashsalt": "writeup"}):
        drawn.savefig(buffer, format="svg", bbox_inches="tight", metadata={"Date": None})
    plt.close(drawn)
    return buffer.getvalue()


class Live(NamedTuple):
    """What a sweep calls while it trains, for those who watch."""

    on_epoch: Callable[[Experiment, Epoch], None]
    tell: Callable[[Event], None]


@contextmanager
def live_curves() -> Iterator[Live]:
    """One figure that grows by an epoch, and a line below it that says how far the sweep is."""
    histories: dict[str, list[Epoch]] = {}
    handle = line = None

    def on_epoch(experiment: Experiment, epoch: Epoch) -> None:
        nonlocal handle
        histories.setdefault(experiment.key, []).append(epoch)
        drawn = figures.live(histories, experiment)
        data = {"image/svg+xml": svg(drawn), "text/plain": "training curves"}
        if handle is None:
            handle = ipython.display(data, raw=True, display_id=True)
        else:
            handle.update(data, raw=True)

    def tell(event: Event) -> None:
        nonlocal line
        data = {"text/plain": event.line() + (f" · {event.dashboard}" if event.dashboard else "")}
        if line is None:
            line = ipython.display(data, raw=True, display_id=True)
        else:
            line.update(data, raw=True)

    yield Live(on_epoch, tell)


def _publish(data: dict[str, str], caption: str, description: dict, records: Sequence[Record]) -> None:
    runs = list(dict.fromkeys(record.key for record in records))
    _display(data, {**description, "caption": caption, "runs": runs})
    _display(
        {"text/markdown": f"*{caption}*", "text/plain": caption},
        {"kind": "caption", "of": description["name"]},
    )


def _display(data: dict[str, str], description: dict) -> None:
    ipython.display(data, raw=True, metadata={"writeup": description})
