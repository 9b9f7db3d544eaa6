"""A button that trains one run in a thread, so that the page can be used meanwhile."""

import threading
from collections.abc import Callable

import ipywidgets as widgets

from lib.analysis import plots
from lib.experiment import Experiment
from lib.explore import page
from lib.notebook import exhibits
from lib.notebook.live import ALT, Live
from lib.runs import sweep
from lib.runs.store import Store
from lib.system.errors import UserError
from lib.training import Interrupted


class Trainer:
    """Buttons to start and to stop a training, a line with its progress and its growing figure: `parts`.

    Args:
        chosen: returns the run to train; its UserError is shown.
    """

    def __init__(self, chosen: Callable[[], Experiment]):
        self._chosen = chosen
        self._stopped = threading.Event()
        self._lock = threading.Lock()  # no "Stopping ..." after the thread's last sentence
        self.start = widgets.Button(description="Train", button_style="primary", icon="play")
        self.stop = widgets.Button(description="Stop", icon="stop", disabled=True)
        self.status, self.figure = widgets.HTML(), widgets.HTML()
        self.start.on_click(lambda _: self._begin())
        self.stop.on_click(lambda _: self._stop())
        self.parts = (widgets.HBox([self.start, self.stop]), self.status, self.figure)

    def _begin(self) -> None:
        if self.start.disabled:
            return  # a second click, before the page showed the button as disabled
        try:
            experiment = self._chosen()
        except UserError as error:
            self._say(str(error), bad=True)
            return
        self._stopped.clear()
        self.start.disabled, self.stop.disabled = True, False
        self._say(f"{experiment.title}: starting ...")
        self.thread = threading.Thread(target=self._train, args=(experiment,), daemon=True)
        self.thread.start()

    def _stop(self) -> None:
        with self._lock:
            if not self.stop.disabled:
                self._stopped.set()
                self._say("Stopping ...")

    def _train(self, experiment: Experiment) -> None:
        live, record, bad = _OnPage(self.figure), None, True

        def on_epoch(experiment, epoch) -> None:
            live.on_epoch(experiment, epoch)
            self._say(live.line)

        watched = {"on_epoch": on_epoch, "tell": live.tell, "stop": self._stopped.is_set}
        try:
            (record,) = sweep.run([experiment], origin="notebooks/explore.ipynb", **watched)
            live.show([record.history])
        except Interrupted as stopped:
            bad, end = False, f"{str(stopped).partition(';')[0]}. Train continues from there."
        except sweep.RunsFailed as error:
            end = error.reasons[0][1]
        except Exception as error:  # nobody sees a thread's traceback
            end = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
        else:
            best, last = (100 * epoch.test.accuracy for epoch in (record.best, record.last))
            bad, end = False, f"Done: test accuracy {best:.1f} % at the best epoch, {last:.1f} % at the last."
            end += f" Stored as run {record.key}."
        with self._lock:
            self._say(end, bad)
            self.start.disabled, self.stop.disabled = False, True
        if record:
            page.stored()

    def _say(self, text: str, bad: bool = False) -> None:
        self.status.value = page.sentence(text, bad)


class _OnPage(Live):
    """The growing figure, in a widget of the page."""

    def __init__(self, into: widgets.HTML):
        super().__init__(store=Store())
        self._into = into

    def show(self, histories, epochs: int = 0) -> None:
        drawn = exhibits.svg(plots.training(histories, self._classes, epochs=epochs))
        svg = drawn[drawn.index("<svg") :].replace("<svg", f'<svg role="img" aria-label="{ALT}"', 1)
        self._into.value = f'<div style="max-width: 60em">{svg}</div>'
