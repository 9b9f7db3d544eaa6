"""A run of your own: chosen in a form, trained, watched, stopped, and kept as a parameter file."""

import html
import json
import re
import shlex
import sys
from pathlib import Path
from typing import Any, get_args

from lib.experiment import Experiment
from lib.notebook import exhibits, parameters
from lib.notebook.session import Notebook
from lib.system import paths
from lib.system.errors import UserError

NOTEBOOK = paths.NOTEBOOKS / "beta_sweep.ipynb"
_CHOSEN = ("model", "dataset", "imbalance", "loss")
#: What the form calls a parameter, where that is not the parameter's name.
_LABELS = {
    "dataset": "data",
    "factor": "imbalance factor",
    "beta": "β",
    "gamma": "γ (focal)",
    "batch_size": "batch size",
    "learning_rate": "learning rate",
}
SHIPPED = ("smoke", "quick", "writeup")
_FOLDERS = ("runs", "published", "reproduced", "screenshots")  # of outputs/, which get no notebook of a person's
_OURS = "# Saved from explore.ipynb"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")


def tryout(here: Notebook, dataset: str) -> None:
    """Fill in a form, train, watch and stop; save it for Papermill."""
    if here.headless:
        exhibits.text(f"With nobody to fill in the form: it would train {experiment(defaults(dataset)).title}.")
        return
    import ipywidgets as widgets

    from lib.explore.page import CONTROL, row, sentence, show
    from lib.explore.trainer import Trainer

    form = fields(dataset, CONTROL)
    values = lambda: {name: widget.value for name, widget in form.items()}  # noqa: E731
    trainer = Trainer(lambda: experiment(values()))
    name = widgets.Text(value="mine", description="name", **CONTROL)
    save = widgets.Button(description="Save as parameter file", icon="save", layout={"width": "auto"})
    says = widgets.HTML()

    def saved(_) -> None:
        try:
            file, command, replaced = keep(values(), name.value)
        except UserError as error:
            says.value = sentence(str(error), bad=True)
        else:
            place = paths.shown(file)
            what = f"Saved as {place}, in place of what was saved there before" if replaced else f"Saved as {place}"
            says.value = (
                sentence(f"{what}. Cross-entropy and this run, executed by Papermill:")
                + f"<pre>{html.escape(command)}</pre>"
            )

    save.on_click(saved)
    show(row(*form.values()), *trainer.parts, row(name, save), says)


def fields(dataset: str, look: dict[str, Any]) -> dict[str, Any]:
    """The form: a widget for each parameter that it offers."""
    import ipywidgets as widgets

    start = defaults(dataset)
    named = {name: Experiment.model_fields[parameters.field_of(name)] for name in _CHOSEN}
    choices = {name: get_args(field.annotation) for name, field in named.items()}
    form: dict[str, Any] = {}
    for name in ("model", "dataset", "imbalance", "factor", "loss", "beta", "gamma"):
        words = {"description": _LABELS.get(name, name), "value": start[name], **look}
        form[name] = widgets.Dropdown(options=choices[name], **words) if name in choices else widgets.FloatText(**words)
    for name in ("epochs", "batch_size", "learning_rate", "seed"):
        words = {"description": _LABELS.get(name, name), "value": start[name], **look}
        form[name] = (widgets.FloatText if name == "learning_rate" else widgets.IntText)(**words)
    return form


def defaults(dataset: str) -> dict[str, Any]:
    """What the form begins with: the sweep notebook's own values, one β."""
    declared = {name: p.default for name, p in parameters.declared(NOTEBOOK).items()}
    return declared | {"dataset": dataset, "beta": 0.99}


def complete(values: dict[str, Any]) -> dict[str, Any]:
    """The form's values as parameters of the sweep notebook.

    Raises:
        UserError: naming the parameter, its value, and what is allowed.
    """
    given = {name: value for name, value in values.items() if name != "beta"}
    names = parameters.declared(NOTEBOOK)
    given = {name: value for name, value in given.items() if name in names} | {"betas": [values["beta"]]}
    try:
        return parameters.complete(parameters.check(given, NOTEBOOK, where="the form"), NOTEBOOK)
    except UserError as error:
        labels = _LABELS | {"betas": _LABELS["beta"]}
        named = re.sub(r"^the form: (\w+)", lambda found: labels.get(found[1], found[1]), str(error))
        raise UserError(named) from None


def experiment(values: dict[str, Any]) -> Experiment:
    """The run of the form: the same that the sweep notebook trains for its β; errors as `complete`."""
    checked = complete(values)
    sheet = Notebook("beta_sweep", headless=True, origin="", values=checked)
    return sheet.experiment(beta=checked["betas"][0], validation=0)


def keep(values: dict[str, Any], name: str) -> tuple[Path, str, bool]:
    """Write params/<name>/beta_sweep.yaml, valid for Papermill.

    Returns:
        The file, the command that executes the notebook with it, and whether it replaced a file saved before.

    Raises:
        UserError: as `complete`; for a name that is taken by the repository or a person's own file, or is no
            folder's; and where nothing can be written.
    """
    if not _NAME.fullmatch(name):
        raise UserError(f"A name has letters, digits, - and _ only, not {name!r}.")
    if name.lower() in SHIPPED:
        raise UserError(f"{name} is a profile of the repository; choose another name.")
    if name.lower() in _FOLDERS:
        raise UserError(f"outputs/{name} is a folder of the repository; choose another name.")
    chosen = complete(values) | {"headless": True, "profile": name, "repeats": 1}
    experiment(values)
    file = paths.PARAMS / name / NOTEBOOK.with_suffix(".yaml").name
    meanings = parameters.declared(NOTEBOOK)
    lines = [f"{_OURS}: cross-entropy, and one class-balanced loss.\n"]
    for key, value in chosen.items():
        lines.append(f"{key}: {json.dumps(value)}  # {meanings[key].meaning}\n")  # JSON is YAML
    try:
        replaced = file.exists()
        if replaced and not file.read_text().startswith(_OURS):
            raise UserError(f"{paths.shown(file)} was not saved from here; choose another name.")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("".join(lines))
    except OSError as error:
        raise UserError(f"{paths.shown(file)} cannot be written: {error.strerror}.") from error
    return file, _command(file, paths.OUTPUTS / name), replaced


def _command(file: Path, folder: Path) -> str:
    """What executes the notebook with a parameter file, from wherever a person's shell is."""
    papermill, notebook, out = Path(sys.executable).with_name("papermill"), NOTEBOOK, folder / NOTEBOOK.name
    lines = (
        ["cd", str(paths.ROOT)],
        ["mkdir", "-p", paths.shown(folder)],
        [*map(paths.shown, (papermill, notebook, out)), "-f", paths.shown(file)],
    )
    return "\n".join(shlex.join(words) for words in lines)
