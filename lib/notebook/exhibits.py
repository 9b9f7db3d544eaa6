"""What a notebook shows, so that JupyterLab, HTML and PDF all show it well.

A figure or a table is one stored output: vector graphics or an HTML table, with its caption, alternative text
and the runs it comes from in the output's metadata. The report numbers the captions; in JupyterLab the caption
follows as text of its own. No widget is involved.
"""

import io
import re
from collections.abc import Sequence

import matplotlib.pyplot as plt
import pandas as pd
from IPython import display as ipython
from matplotlib.figure import Figure
from pandas.io.formats.style import Styler

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
        name: what the figure is called in the report's list of origins.
        caption: markdown.
        alt: what the figure shows, in words, for those who do not see it.
        records: the runs it is drawn from.
        width: of the text's width, in HTML and PDF.
        handle: of an output that it takes the place of.
    """
    data = {"image/svg+xml": svg(drawn), "text/plain": alt}
    _publish(data, caption, {"kind": "figure", "name": name, "alt": alt, "width": width}, records, handle)


def table(content: pd.DataFrame | Styler, name: str, caption: str, *, records: Sequence[Record] = ()) -> None:
    """Show a table; arguments as for `figure`."""
    html = content.to_html()
    plain = (content.data if isinstance(content, Styler) else content).to_string()
    _publish({"text/html": html, "text/plain": plain}, caption, {"kind": "table", "name": name}, records)


def text(markdown: str) -> None:
    """Show prose that was generated from figures; nothing where there is none."""
    if not markdown:
        return
    ipython.display({"text/markdown": _unbroken(markdown), "text/plain": markdown}, raw=True)


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


def _publish(
    data: dict[str, str],
    caption: str,
    description: dict,
    records: Sequence[Record],
    handle: ipython.DisplayHandle | None = None,
) -> None:
    runs = list(dict.fromkeys(record.key for record in records))
    metadata = {"writeup": {**description, "caption": caption, "runs": runs}}
    show = handle.update if handle else ipython.display
    show(data, raw=True, metadata=metadata)
    text = {"text/markdown": f"*{caption}*", "text/plain": caption}
    ipython.display(text, raw=True, metadata={"writeup": {"kind": "caption", "of": description["name"]}})
