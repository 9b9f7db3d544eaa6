"""Figure of a training: redrawn while runs train, and drawn from their records at the end."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from IPython import display as ipython

from lib import data
from lib.analysis import curves, prose
from lib.experiment import Experiment
from lib.notebook import exhibits
from lib.runs.progress import Event
from lib.runs.store import Store
from lib.training import Epoch, Record
from lib.training.checkpoint import finished_epochs

#: Upper bound on the share of the time spent drawing, so that watching a training does not slow it down much.
_SHARE = 0.1
ALT = "Line plots over the epochs: loss, accuracy and learning rate, and below them the test accuracy of each class."


@dataclass
class Live:
    """One output of a notebook for the training of some runs."""

    name: str = ""  # of the figure in the report; "" keeps it out of the report
    original: float | None = None  # an accuracy to compare with
    store: Store = field(default_factory=Store)  # its unfinished runs hold earlier epochs
    show: Callable[[str], None] | None = None  # takes each drawing, an SVG, in place of a notebook's output

    def __post_init__(self):
        self.line = self._dashboard = ""
        self._histories: dict[str, list[Epoch]] = {}
        self._handle: ipython.DisplayHandle | None = None
        self._rest_until = 0.0

    def tell(self, event: Event) -> None:
        """Take the sweep's progress as the figure's title."""
        self.line = event.line()
        if event.dashboard != self._dashboard:
            self._dashboard = event.dashboard
            print(f"Dask shows its workers at {event.dashboard}")

    def on_epoch(self, experiment: Experiment, epoch: Epoch) -> None:
        """Take a finished epoch and draw, unless that would take more than a small share of the time."""
        history = self._histories.setdefault(experiment.key, [])
        if not history and epoch.epoch > 1:
            history += finished_epochs(self.store.checkpoint(experiment))
        history[:] = [e for e in history if e.epoch < epoch.epoch]  # a run that lost its worker starts again
        history.append(epoch)
        start = time.monotonic()
        if start < self._rest_until and epoch.epoch < experiment.epochs:
            return
        self._draw(list(self._histories.values()), experiment)
        self._rest_until = time.monotonic() + (time.monotonic() - start) / _SHARE

    def finish(self, records: Sequence[Record]) -> None:
        """Show the final figure, of runs trained now or before.

        A run that several settings share, such as the neutral betas, is drawn once.
        """
        records = list({record.key: record for record in records}.values())
        histories = [record.history for record in records]
        if records and self.name:
            classes = data.classes(records[0].experiment.data)
            drawn = curves.training(histories, classes, original=self.original)
            caption = prose.training_caption(records)
            exhibits.figure(drawn, self.name, caption, alt=ALT, records=records, handle=self._handle)
        elif records and (self._handle or self.show):
            self._draw(histories, records[0].experiment)

    def _draw(self, histories: Sequence[Sequence[Epoch]], experiment: Experiment) -> None:
        """Draw epochs of runs, of which `experiment` is one, in the place of the last drawing."""
        options = {"epochs": experiment.epochs, "original": self.original, "title": "" if self.show else self.line}
        svg = exhibits.svg(curves.training(histories, data.classes(experiment.data), **options))
        shown = {"image/svg+xml": svg, "text/plain": self.line}
        if self.show:
            self.show(svg)
        elif self._handle:
            self._handle.update(shown, raw=True)
        else:
            self._handle = ipython.display(shown, raw=True, display_id=True)
