"""Train one run beside a page that stays alive: start, watch, stop, go on."""

import ctypes
import threading
from collections.abc import Callable

import ipywidgets as widgets

from lib.analysis import curves
from lib.experiment import Experiment
from lib.explore.page import sentence, stored
from lib.notebook import exhibits
from lib.notebook.live import ALT, Live
from lib.runs import sweep
from lib.runs.store import Store
from lib.system.errors import UserError
from lib.training import Interrupted


class Trainer:
    """A button that trains in a thread, so that the page can be used meanwhile; `parts` are its widgets.

    Args:
        chosen: gives the run to train; what it raises as a UserError is said.
    """

    def __init__(self, chosen: Callable[[], Experiment]):
        self._chosen = chosen
        self._thread: threading.Thread | None = None
        self._trains = threading.Lock()  # held while Stop decides whether there is something to stop
        self._interruptible = self._stopping = False
        self.start = widgets.Button(description="Train", button_style="primary", icon="play")
        self.stop = widgets.Button(description="Stop", icon="stop", disabled=True)
        self.says, self.figure = widgets.HTML(), widgets.HTML()
        self.start.on_click(lambda _: self._begin())
        self.stop.on_click(lambda _: self._end())

    @property
    def parts(self) -> tuple[widgets.Widget, ...]:
        """What belongs on the page, below each other."""
        return widgets.HBox([self.start, self.stop]), self.says, self.figure

    def wait(self) -> None:
        """Until the run is over."""
        if self._thread:
            self._thread.join()

    def _begin(self) -> None:
        if self.start.disabled:
            return  # a second click, made before the button on the page was greyed out
        try:
            experiment = self._chosen()
        except UserError as error:
            self._say(str(error), bad=True)
            return
        self.start.disabled, self.stop.disabled = True, False
        self._say(f"{experiment.title}: starting ...")
        self._thread = threading.Thread(target=self._train, args=(experiment,), daemon=True)
        self._thread.start()

    def _end(self) -> None:
        with self._trains:
            if not self._interruptible:
                return
            self._interruptible, self._stopping = False, True
            self._say("Stopping ...")
            # What Ctrl-C does to a program: an epoch can take minutes, and nobody is to wait for its end.
            ctypes.pythonapi.PyThreadState_SetAsyncExc(
                ctypes.c_ulong(self._thread.ident), ctypes.py_object(KeyboardInterrupt)
            )

    def _train(self, experiment: Experiment) -> None:
        try:
            finished = self._finishes(experiment)
        finally:
            self.start.disabled, self.stop.disabled = False, True
        if finished:
            stored()

    def _finishes(self, experiment: Experiment) -> bool:
        live = _OnPage(self.figure, Store())

        def on_epoch(experiment, epoch) -> None:
            live.on_epoch(experiment, epoch)
            with self._trains:
                if self._stopping:  # and the interrupt has gone astray, as in a destructor
                    raise KeyboardInterrupt
                self._say(live.line)

        try:
            with self._trains:
                self._interruptible, self._stopping = True, False
            try:
                (record,) = sweep.run([experiment], origin="notebooks/explore.ipynb", on_epoch=on_epoch, tell=live.tell)
            finally:  # an interrupt that is on its way arrives in here, not where the end is said
                with self._trains:
                    self._interruptible = False
        except Interrupted as stopped:
            self._say(f"{str(stopped).partition(';')[0]}. Train goes on from there.")
        except KeyboardInterrupt:  # before the training had begun, or while the run was stored
            self._say("Stopped.")
        except sweep.RunsFailed as error:
            self._say(error.reasons[0][1], bad=True)
        except UserError as error:
            self._say(str(error), bad=True)
        except Exception as error:  # a thread's traceback would be seen nowhere
            self._say(f"{type(error).__name__}: {error}", bad=True)
        else:
            live.show([record.history])
            self._say(
                f"Done: {100 * record.best.test.accuracy:.1f} % at the best epoch on the test set, "
                f"{100 * record.last.test.accuracy:.1f} % at the last. Stored as run {record.key}."
            )
            return True
        return False

    def _say(self, text: str, bad: bool = False) -> None:
        self.says.value = sentence(text, bad)


class _OnPage(Live):
    """The growing figure, in a widget of the page."""

    def __init__(self, into: widgets.HTML, store: Store):
        super().__init__(store=store)
        self._into = into

    def show(self, histories, epochs: int = 0) -> None:
        drawn = exhibits.svg(curves.training(histories, epochs=epochs))
        picture = drawn[drawn.index("<svg") :].replace("<svg", f'<svg role="img" aria-label="{ALT}"', 1)
        self._into.value = f'<div style="max-width: 60em">{picture}</div>'
