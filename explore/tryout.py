"""The panel to train a run of one's own: a form, a training beside the page, and a parameter file for Papermill."""

import html
import json
import os
import re
import shlex
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import ipywidgets as widgets

from explore import page
from lib.analysis.methods import METHODS, TRAINED
from lib.data import DATASETS, PROFILES
from lib.experiment import Experiment
from lib.losses import LOSSES
from lib.models import MODELS
from lib.notebook import exhibits, parameters, plans
from lib.notebook.session import Notebook
from lib.runs import sweep
from lib.system import paths
from lib.system.errors import UserError
from lib.training import Interrupted

OWN = "own loss, β and γ"  # the entry of the methods with which the form's loss is trained
#: The form's fields: parameters of the notebooks, and the choices of those that have some.
_FORM = ["model", "dataset", "imbalance", "factor", "method", "loss", "beta", "gamma"]
_FORM += ["epochs", "deferred", "retrain_epochs", "batch_size", "learning_rate", "seed"]
_CHOICES = {"model": MODELS, "dataset": DATASETS, "imbalance": ("none", *PROFILES)}
_CHOICES |= {"method": (OWN, *TRAINED), "loss": LOSSES}
#: Fields that not every method has: of an own loss, and of a method of the field by its field of an experiment.
_OF_OWN, _OF_METHODS = {"loss", "beta", "gamma"}, {"beta": "beta", "deferred": "deferred", "retrain": "retrain_epochs"}
#: Profiles of the repository, and folders in outputs/ that hold no executed notebooks of a profile.
_TAKEN = {"smoke", "quick", "writeup", "field", "runs", "published", "benchmark", "reproduced", "screenshots"}
SPEAK_EVERY = 20  # seconds between two reports of a training's progress to a screen reader
_WHOLE = 'style="width: 100%; height: auto"'
_MARK = "# Saved from explore.ipynb"
_APP = "WRITEUP_APP"  # set in the kernels of `make app`, whose visitors save nothing in this repository


def tryout(dataset: str) -> None:
    """Show a form for one run, train it, and save it as a parameter file: in `make app` on the visitor's machine."""
    start = defaults(dataset)
    form, first = {name: _field(name, start[name]) for name in _FORM}, first_values(start)

    def values() -> dict[str, Any]:
        return {name: widget.value for name, widget in form.items()}

    def follow(_: Any = None) -> None:
        nonlocal first
        before, first = first, first_values(values())
        for name in _OF_OWN.union(first):
            form[name].layout.display = "" if name in fields_of(form["method"].value) else "none"
        for name, value in first.items():
            if form[name].value == before[name]:  # not what a person has typed
                form[name].value = value

    def saved() -> str:
        if _APP in os.environ:
            file, command = f"{notebook(values()).stem}.yaml", f"make report PROFILE={checked_name(name.value)}"
            link = page.download(f"Download {file}", file, content(values(), name.value))
            words = f"Put it into the folder params/{name.value} of your own clone of this repository; then:"
            return link + page.sentence(words) + f"<pre>{html.escape(command)}</pre>"
        file, command, replaced = save(values(), name.value)
        replaces = ", replacing the file saved there before" if replaced else ""
        words = f"Saved as {paths.shown(file)}{replaces}. To train cross-entropy and this run with Papermill:"
        return page.sentence(words) + f"<pre>{html.escape(command)}</pre>"

    name = widgets.Text(value="mine", description="name", **page.CONTROL)
    button = widgets.Button(description="Save as parameter file", layout={"width": "auto"})
    status = widgets.HTML().add_class(page.SPOKEN)
    button.on_click(lambda _: page.fill(status, saved))
    trainer = Trainer(lambda: experiment(values()))
    for field in (form["method"], form["epochs"]):
        field.observe(follow, names="value")
    follow()
    page.show([*form.values()], *trainer.parts, [name, button], status)


def _field(name: str, value: Any) -> widgets.Widget:
    """Return a widget of the form: a list to choose from, or a number."""
    look = {"description": page.label(name), "value": value, **page.CONTROL}
    if name in _CHOICES:
        return widgets.Dropdown(options=list(_CHOICES[name]), **look)
    return (widgets.IntText if isinstance(value, int) else widgets.FloatText)(**look)


def defaults(dataset: str) -> dict[str, Any]:
    """Return the form's first values: the sweep notebook's defaults, with one β."""
    start = parameters.check({"dataset": dataset}, notebook({"method": OWN}), where="the form") | {"method": OWN}
    return start | first_values(start)


def notebook(values: dict[str, Any]) -> Path:
    """Return the notebook that trains the run of the form."""
    return paths.NOTEBOOKS / ("beta_sweep.ipynb" if values["method"] == OWN else "methods.ipynb")


def fields_of(method: str) -> set[str]:
    """Return the fields of the form that this method uses, of those that not every method has."""
    if method == OWN:
        return _OF_OWN
    return {own for key, own in _OF_METHODS.items() if METHODS[method].fields.get(key) is True}


def first_values(values: dict[str, Any]) -> dict[str, Any]:
    """Return first values of β, by the method, and of the epochs of its parts: the notebook's shares of all epochs."""
    known = {name: each.default for name, each in parameters.declared(paths.NOTEBOOKS / "methods.ipynb").items()}
    parts = {name: round(known[name] / known["epochs"] * values["epochs"]) for name in ("deferred", "retrain_epochs")}
    deferred = max(0, min(parts["deferred"], values["epochs"] - 1))
    beta = 0.99 if values["method"] == OWN else known["beta"]
    return {"beta": beta, "deferred": deferred, "retrain_epochs": max(1, parts["retrain_epochs"])}


def complete(values: dict[str, Any]) -> dict[str, Any]:
    """Return the form's values as parameters of its notebook; a UserError names the wrong one by its label.

    Those of the methods' notebook ask for cross-entropy and the chosen method, without runs that hold images out.
    """
    method, first = values["method"], first_values(values)
    used = fields_of(method)
    given = {name: values[name] for name in _FORM if name not in {"method", *_OF_OWN, *first} or name in used}
    if method == OWN:
        given["betas"] = [given.pop("beta")]
    else:
        given = {"deferred": first["deferred"]} | given | {"methods": [plans.CE, method], "validation": 0.0}
    try:
        return parameters.check(given, notebook(values), where="the form")
    except UserError as error:
        raise UserError(
            re.sub(r"^the form: (?:the settings: )?(\w+)", lambda found: page.label(found[1]), str(error))
        ) from None


def experiment(values: dict[str, Any]) -> Experiment:
    """Return the run of the form, equal to its notebook's for this β or method; errors as `complete`."""
    here = Notebook(headless=True, origin="", values=complete(values))
    if values["method"] == OWN:
        return here.experiment(beta=here.values["betas"][0], validation=0)
    return plans.methods(here)[values["method"]]


def checked_name(name: str) -> str:
    """Return the name of a profile; UserError for one that is no folder's, or is taken by the repository."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", name):
        raise UserError(f"A name has letters, digits, - and _ only, not {name!r}.")
    if name.lower() in _TAKEN:
        raise UserError(f"{name} is a name used by the repository; choose another one.")
    return name


def content(values: dict[str, Any], name: str) -> str:
    """Return a parameter file for Papermill with the form's values, for the profile `name`; errors as `complete`."""
    chosen = complete(values) | {"headless": True, "profile": name, "repeats": 1}
    meanings, about = parameters.declared(notebook(values)), "one class-balanced loss"
    about = f"cross-entropy, and {about if values['method'] == OWN else values['method']}"
    lines = [f"{key}: {json.dumps(value)}  # {meanings[key].meaning}\n" for key, value in chosen.items()]  # valid YAML
    return f"{_MARK}: {about}.\n{''.join(lines)}"


def save(values: dict[str, Any], name: str) -> tuple[Path, str, bool]:
    """Write params/<name>/beta_sweep.yaml, or methods.yaml for a method of the field, valid for Papermill.

    Returns the file, the command that executes the notebook with it, and True if the file replaced one saved before.
    Raises UserError as `complete` and `checked_name`; where a link or a file that was not saved from the form has the
    name; and where the file cannot be written.
    """
    text, chapter = content(values, checked_name(name)), notebook(values)
    file, folder = paths.PARAMS.resolve() / name / f"{chapter.stem}.yaml", paths.OUTPUTS / name
    try:
        # A link may lead out of params/, a fifo would be waited for.
        replaced, linked = file.exists(), os.path.realpath(file) != str(file)
        ours = file.is_file() and file.stat().st_size < 1 << 20 and file.read_bytes().startswith(_MARK.encode())
        if linked or (replaced and not ours):
            raise UserError(f"{paths.shown(file)} was not saved from this form; choose another name.")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, "utf-8")
    except OSError as error:
        raise UserError(f"{paths.shown(file)} cannot be written: {error.strerror}.") from error
    executed = [Path(sys.executable).with_name("papermill"), chapter, folder / chapter.name, "-f", file]
    lines = ["cd", str(paths.ROOT)], ["mkdir", "-p", paths.shown(folder)], [*map(paths.shown, executed)]
    return file, "\n".join(map(shlex.join, lines)), replaced


class Trainer:
    """Buttons to start and to stop a training, a line with its progress and its growing figure: `parts`.

    `chosen` returns the run to train; its UserError is shown.
    """

    def __init__(self, chosen: Callable[[], Experiment]):
        self._chosen = chosen
        self._stopped = threading.Event()
        self.start = widgets.Button(description="▶ Train", button_style="primary")
        self.stop = widgets.Button(description="■ Stop", disabled=True)
        self.status, self.figure = widgets.HTML(), widgets.HTML()
        self.spoken = page.unseen()  # changes less often than `status`
        self._spoke = 0.0
        self.start.on_click(self._begin)
        self.stop.on_click(self._stop)
        self.parts = (widgets.HBox([self.start, self.stop]), self.status, self.spoken, self.figure)

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
        live, bad = exhibits.Live(handle=SimpleNamespace(update=self._show)), True
        watched = {"on_epoch": live.on_epoch, "tell": lambda event: self._say(event.line, now=False)}
        try:
            (record,) = sweep.run([experiment], origin="notebooks/explore.ipynb", stop=self._stopped.is_set, **watched)
            live.finish([record])
            for renew in [*page.on_stored.values()]:
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

    def _say(self, text: str, bad: bool = False, now: bool = True) -> None:
        self.status.value = page.sentence(text, bad)
        if now or time.monotonic() > self._spoke + SPEAK_EVERY:
            self.spoken.value, self._spoke = page.sentence(text), time.monotonic()

    def _show(self, data: dict[str, str], raw: bool) -> None:
        svg = data["image/svg+xml"].partition("<svg")[2]
        self.figure.value = (
            f'<div style="max-width: 60em"><svg role="img" aria-label="{exhibits.ALT}" {_WHOLE}{svg}</div>'
        )
