"""A button that trains one run in a thread, so that the page can be used meanwhile."""

import threading
from collections.abc import Callable

import ipywidgets as widgets

from lib.experiment import Experiment
from lib.explore import page
from lib.notebook.live import ALT, Live
from lib.runs import sweep
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
        self.start = widgets.Button(description="Train", button_style="primary", icon="play")
        self.stop = widgets.Button(description="Stop", icon="stop", disabled=True)
        self.status, self.figure = widgets.HTML(), widgets.HTML()
        self.start.on_click(self._begin)
        self.stop.on_click(self._stop)
        self.parts = (widgets.HBox([self.start, self.stop]), self.status, self.figure)

    def _begin(self, _: widgets.Button) -> None:
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

    def _stop(self, _: widgets.Button) -> None:
        self.stop.disabled = True
        self._stopped.set()

    def _train(self, experiment: Experiment) -> None:
        live, bad = Live(show=self._show), True

        def on_epoch(experiment, epoch) -> None:
            live.on_epoch(experiment, epoch)
            self._say(live.line)

        watched = {"on_epoch": on_epoch, "tell": live.tell, "stop": self._stopped.is_set}
        try:
            (record,) = sweep.run([experiment], origin="notebooks/explore.ipynb", **watched)
            live.finish([record])
            for renew in page.on_stored.values():
                renew()
            best, last = (100 * epoch.test.accuracy for epoch in (record.best, record.last))
            bad, end = False, f"Done: test accuracy {best:.1f} % at the best epoch, {last:.1f} % at the last."
            end += f" Stored as run {record.key}."
        except Interrupted as stopped:
            bad, end = False, f"{str(stopped).partition(';')[0]}. Train continues from there."
        except sweep.RunsFailed as error:
            end = error.reasons[0][1]
        except Exception as error:  # nobody sees a thread's traceback
            end = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
        self._say(end, bad)
        self.start.disabled, self.stop.disabled = False, True

    def _say(self, text: str, bad: bool = False) -> None:
        self.status.value = page.sentence(text, bad)

    def _show(self, svg: str) -> None:
        drawn = svg[svg.index("<svg") :].replace("<svg", f'<svg role="img" aria-label="{ALT}"', 1)
        self.figure.value = f'<div style="max-width: 60em">{drawn}</div>'
