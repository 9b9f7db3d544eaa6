"""Figure of a training: redrawn while runs train, and drawn from their records at the end."""

import time
from collections.abc import Sequence

from IPython import display as ipython

from lib import data
from lib.analysis import plots, prose
from lib.experiment import Experiment
from lib.notebook import exhibits
from lib.runs.progress import Event
from lib.runs.store import Store
from lib.training import Epoch, Record
from lib.training.checkpoint import finished_epochs

#: Upper bound on the share of the time spent drawing, so that watching a training does not slow it down much.
_SHARE = 0.1
ALT = "Line plots over the epochs: loss, accuracy and learning rate, and below them the test accuracy of each class."


class Live:
    """One output of a notebook for the training of some runs.

    Args:
        name: of the figure in the report; "" keeps it out of the report.
        original: an accuracy to compare with.
        store: the store whose unfinished runs hold earlier epochs.
    """

    def __init__(self, name: str = "", original: float | None = None, store: Store | None = None):
        self.name, self.original, self.store = name, original, store
        self._histories: dict[str, list[Epoch]] = {}
        self.line = self._dashboard = ""
        self._classes: tuple[str, ...] = ()
        self._handle: ipython.DisplayHandle | None = None
        self._rest_until = 0.0

    def tell(self, event: Event) -> None:
        """Take the sweep's progress as the figure's title."""
        self.line = event.line
        if event.dashboard != self._dashboard:
            self._dashboard = event.dashboard
            print(f"Dask shows its workers at {event.dashboard}")

    def on_epoch(self, experiment: Experiment, epoch: Epoch) -> None:
        """Take a finished epoch and draw, unless that would take more than a small share of the time."""
        self._classes = data.classes(experiment.data)
        history = self._histories.setdefault(experiment.key, [])
        if not history and epoch.epoch > 1 and self.store:
            history += finished_epochs(self.store.checkpoint(experiment))
        history[:] = [e for e in history if e.epoch < epoch.epoch]  # a run that lost its worker starts again
        history.append(epoch)
        start = time.monotonic()
        if start < self._rest_until and epoch.epoch < experiment.epochs:
            return
        self._draw(experiment.epochs)
        self._rest_until = time.monotonic() + (time.monotonic() - start) / _SHARE

    def finish(self, records: Sequence[Record]) -> None:
        """Show the final figure, of runs trained now or before.

        A run that several settings share, such as the neutral betas, is drawn once.
        """
        records = list({record.key: record for record in records}.values())
        if records and self.name:
            exhibits.figure(
                plots.training(
                    [record.history for record in records],
                    data.classes(records[0].experiment.data),
                    original=self.original,
                ),
                self.name,
                prose.training_caption(records),
                alt=ALT,
                records=records,
                handle=self._handle,
            )
        elif self._handle:
            self._draw()

    def _draw(self, epochs: int = 0) -> None:
        self.show([history for history in self._histories.values() if history], epochs)

    def show(self, histories: Sequence[Sequence[Epoch]], epochs: int = 0) -> None:
        """Draw the epochs so far, in the place of the last drawing."""
        drawn = plots.training(histories, self._classes, epochs=epochs, original=self.original, title=self.line)
        data = {"image/svg+xml": exhibits.svg(drawn), "text/plain": self.line}
        if self._handle:
            self._handle.update(data, raw=True)
        else:
            self._handle = ipython.display(data, raw=True, display_id=True)
