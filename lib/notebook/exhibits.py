"""Exhibits of a notebook: figures, tables and text for JupyterLab, HTML and PDF alike.

A figure or a table is one stored output: vector graphics or an HTML table, with caption, alternative text and runs in
its metadata. The report numbers the captions; in JupyterLab the caption follows as text of its own. No widget is used.
"""

import base64
import html
import io
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from IPython import display as ipython
from matplotlib.figure import Figure

from lib import data
from lib.analysis import curves, prose
from lib.experiment import Experiment
from lib.runs.progress import Event
from lib.runs.store import Store
from lib.training import Epoch, Record, training_part
from lib.training.checkpoint import finished_epochs

Records = Sequence[Record]
#: True where a person runs the notebook: pictures then carry their alternative text on JupyterLab's page too.
watched = False
#: Below the progress of a training.
RELOADED = "Reloading the page stops this display, not the training; then run the cell again to see how it ended."
#: Alternative text of a training's figure.
ALT = "Line plots over the epochs: loss, accuracy and learning rate, below them both accuracies of each class."
LEGIBLE = 20  # runs, at the most, of which one figure can show every line


def figure(
    drawn: Figure,
    name: str,
    caption: str,
    *,
    alt: str,
    records: Records = (),
    width: str = "100%",
    handle: Any = None,
    first_page: bool = False,
) -> None:
    """Show a figure with a caption in markdown; `alt` describes it in words, for readers who do not see it.

    The report's list of origins has `name` and `records`, the runs that the figure is drawn from. `width` is a share
    of the text's width, in HTML and PDF. The figure takes the place of the output that has the `handle`, if any. With
    `first_page` the report shows it there, and not in the notebook's section.
    """
    note = {"kind": "figure", "name": name, "alt": alt, "width": width, "caption": caption, "first_page": first_page}
    note["float"] = not first_page
    _publish(_picture(drawn, alt), note, records, handle)


def table(content: pd.DataFrame, name: str, caption: str, *, records: Records = (), first_page: bool = False) -> None:
    """Show a table; arguments as for `figure`."""
    data = {"text/html": _typeset(content.to_html()), "text/plain": content.to_string()}
    _publish(data, {"kind": "table", "name": name, "caption": caption, "first_page": first_page}, records)


def text(markdown: str, metadata: dict[str, Any] | None = None) -> None:
    """Show generated prose; nothing where it is empty."""
    if markdown:
        ipython.display({"text/markdown": _typeset(markdown), "text/plain": markdown}, raw=True, metadata=metadata)


def _typeset(text: str) -> str:
    """Keep numbers and their percent signs on one line, and set negative numbers with a minus sign."""
    return re.sub(r"(?<![\w.-])-(?=\d)", "−", re.sub(r"(?<=\d) %", "\u00a0%", text))


def failed(reasons: Sequence[tuple[Experiment, str]]) -> None:
    """Show failed runs with their reasons, and note them for the runner."""
    lines = "\n".join(f"- {experiment.title}: {prose.escaped(why)}" for experiment, why in reasons)
    titles = [experiment.title for experiment, _ in reasons]
    text(f"**{len(reasons)} of the runs failed;** what follows leaves them out.\n\n{lines}", {"writeup_failed": titles})


def headline(markdown: str, first_page: int = 0) -> None:
    """Show a main result as `text`, also in the report's summary, or as sentence 1, 2 ... of its first page."""
    text(markdown, {"writeup_headline": {"first_page": first_page}})


def svg(drawn: Figure) -> str:
    """Return the figure as SVG, the same bytes for the same content, and close it."""
    buffer = io.StringIO()
    with plt.rc_context({"svg.hashsalt": "writeup"}):
        drawn.savefig(buffer, format="svg", bbox_inches="tight", metadata={"Date": None})
    plt.close(drawn)
    return buffer.getvalue()


def _picture(drawn: Figure, alt: str, plain: str = "") -> dict[str, str]:
    """Return the figure as an output's data by type; JupyterLab shows the HTML, exporters take the SVG."""
    shown = {"image/svg+xml": svg(drawn), "text/plain": plain or alt}
    if watched:
        source = base64.b64encode(shown["image/svg+xml"].encode()).decode()
        style = 'style="max-width: 100%"'
        shown["text/html"] = f'<img alt="{html.escape(alt)}" src="data:image/svg+xml;base64,{source}" {style}>'
    return shown


def _publish(data: dict[str, str], note: dict[str, Any], records: Records, handle: Any = None) -> None:
    show = handle.update if handle else ipython.display
    runs = list(dict.fromkeys(record.key for record in records))
    show(data, raw=True, metadata={"writeup": {**note, "runs": runs}})
    below = {"text/markdown": f"*{_typeset(note['caption'])}*", "text/plain": note["caption"]}
    ipython.display(below, raw=True, metadata={"writeup": {"kind": "caption", "of": note["name"]}})


@cache
def _training_counts(experiment: Experiment) -> list[int]:
    images, _ = training_part(data.load(experiment.data), experiment)
    return images.counts(len(data.classes(experiment.data)))


@dataclass
class Live:
    """One output of a notebook for the training of some runs."""

    name: str = ""  # of the figure in the report; "" keeps it out of the report
    original: float | None = None  # an accuracy to compare with
    store: Store = field(default_factory=Store)  # its unfinished runs hold earlier epochs
    handle: Any = None  # of the output that shows the drawings; by default a new one
    line: str = field(default="", init=False)  # how far the training is
    _text: Any = field(default=None, init=False)  # handle of that text
    _histories: dict[Experiment, list[Epoch]] = field(default_factory=dict, init=False)
    _rest_until: float = field(default=0.0, init=False)

    def tell(self, event: Event) -> None:
        """Show the sweep's progress, at once, with a word for whoever reloads the page."""
        self.line = event.line
        self._say(f"{prose.escaped(self.line)}  \n*{RELOADED}*")

    def stop(self) -> None:
        """Show every epoch so far: the training was stopped."""
        self._say("")
        if self._histories:
            self._draw(self._histories)

    def _say(self, markdown: str) -> None:
        shown = {"text/markdown": markdown, "text/plain": self.line if markdown else ""}
        if self._text:
            self._text.update(shown, raw=True)
        elif markdown:
            self._text = ipython.display(shown, raw=True, display_id=True)

    def on_epoch(self, experiment: Experiment, epoch: Epoch) -> None:
        """Take a finished epoch and draw, at most a tenth of the time: watching does not slow a training down much."""
        history = self._histories.setdefault(experiment, [])
        if not history and epoch.epoch > 1:
            history += finished_epochs(self.store.checkpoint(experiment))
        history[:] = [e for e in history if e.epoch < epoch.epoch]  # a run that lost its worker starts again
        history.append(epoch)
        start = time.monotonic()
        if start < self._rest_until and epoch.epoch < experiment.epochs:
            return
        self._draw(self._histories)
        self._rest_until = time.monotonic() + 10 * (time.monotonic() - start)

    def finish(self, records: Records) -> None:
        """Show the final figure, of runs trained now or before; of many runs the first one of every setting."""
        self._say("")
        records = list({record.key: record for record in records}.values())  # neutral betas share a run: drawn once
        first = {record.experiment.any_seed: record for record in reversed(records)}
        every, records = len(records), records if len(records) <= LEGIBLE else [*reversed(first.values())]
        histories = {record.experiment: record.history for record in records}
        if records and self.name:
            classes = data.classes(records[0].experiment.data)
            options = {"counts": records[0].counts, "experiments": [*histories]}
            drawn = curves.training([*histories.values()], classes, original=self.original, **options)
            caption = prose.training_caption(records, every)
            figure(drawn, self.name, caption, alt=ALT, records=records, handle=self.handle)
        elif records and self.handle:
            self._draw(histories)

    def _draw(self, histories: Mapping[Experiment, Sequence[Epoch]]) -> None:
        """Draw the epochs of runs in the place of the last drawing."""
        experiments, last = [*histories], next(reversed(histories))
        counts, classes = _training_counts(last), data.classes(last.data)
        options = {"epochs": last.epochs, "counts": counts, "original": self.original, "experiments": experiments}
        drawn = curves.training([*histories.values()], classes, **options)
        shown = _picture(drawn, ALT, plain=self.line)
        if self.handle:
            self.handle.update(shown, raw=True)
        else:
            self.handle = ipython.display(shown, raw=True, display_id=True)
