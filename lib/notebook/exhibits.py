"""Exhibits of a notebook: figures, tables and text for JupyterLab, HTML and PDF alike.

A figure or a table is one stored output: vector graphics or an HTML table, with its caption, alternative text
and the runs it comes from in the output's metadata. The report numbers the captions; in JupyterLab the caption
follows as text of its own. No widget is involved.
"""

import io
import re
from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from IPython import display as ipython
from matplotlib.figure import Figure

from lib.experiment import Experiment
from lib.training import Record


def figure(
    drawn: Figure,
    name: str,
    caption: str,
    *,
    alt: str,
    records: Sequence[Record] = (),
    width: str = "100%",
    handle: ipython.DisplayHandle | None = None,
) -> None:
    """Show a figure.

    Args:
        name: of the figure in the report's list of origins.
        caption: markdown.
        alt: a description in words, for readers who do not see the figure.
        records: the runs that it is drawn from.
        width: of the text's width, in HTML and PDF.
        handle: of an output that it replaces.
    """
    data = {"image/svg+xml": svg(drawn), "text/plain": alt}
    note = {"kind": "figure", "name": name, "alt": alt, "width": width}
    _publish(data, note, caption, records, handle.update if handle else ipython.display)


def table(content: pd.DataFrame, name: str, caption: str, *, records: Sequence[Record] = ()) -> None:
    """Show a table; arguments as for `figure`."""
    data = {"text/html": content.to_html(), "text/plain": content.to_string()}
    _publish(data, {"kind": "table", "name": name}, caption, records, ipython.display)


def text(markdown: str, metadata: dict[str, Any] | None = None) -> None:
    """Show generated prose; nothing where it is empty."""
    if markdown:
        unbroken = re.sub(r"(?<=\d) %", "\u00a0%", markdown)  # numbers and their percent signs stay on one line
        ipython.display({"text/markdown": unbroken, "text/plain": markdown}, raw=True, metadata=metadata)


def failed(reasons: Sequence[tuple[Experiment, str]]) -> None:
    """Show failed runs with their reasons, and note them for the runner."""
    lines = "\n".join(f"- {experiment.title}: {why}" for experiment, why in reasons)
    titles = [experiment.title for experiment, _ in reasons]
    text(f"**{len(reasons)} of the runs failed;** what follows leaves them out.\n\n{lines}", {"writeup_failed": titles})


def headline(markdown: str) -> None:
    """Show the notebook's main result in a sentence or two, also for the report's first page; as `text`."""
    text(markdown, {"writeup_headline": True})


def svg(drawn: Figure) -> str:
    """Return the figure as SVG, the same bytes for the same content, and close it."""
    buffer = io.StringIO()
    with plt.rc_context({"svg.hashsalt": "writeup"}):
        drawn.savefig(buffer, format="svg", bbox_inches="tight", metadata={"Date": None})
    plt.close(drawn)
    return buffer.getvalue()


def _publish(data: dict[str, str], note: dict[str, Any], caption: str, records: Sequence[Record], show: Any) -> None:
    runs = list(dict.fromkeys(record.key for record in records))
    show(data, raw=True, metadata={"writeup": {**note, "caption": caption, "runs": runs}})
    below = {"text/markdown": f"*{caption}*", "text/plain": caption}
    ipython.display(below, raw=True, metadata={"writeup": {"kind": "caption", "of": note["name"]}})
