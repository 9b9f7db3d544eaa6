"""A run of your own: chosen in a form, trained, watched, stopped, and kept as a parameter file."""

import json
import re
from pathlib import Path
from typing import Any, get_args

from lib import display, parameters, paths
from lib.errors import UserError
from lib.experiment import Experiment
from lib.notebook import Notebook

NOTEBOOK = paths.NOTEBOOKS / "beta_sweep.ipynb"
_CHOSEN = ("model", "dataset", "imbalance", "loss")
SHIPPED = ("smoke", "quick", "writeup")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")


def tryout(here: Notebook, dataset: str) -> None:
    """Fill in a form, train, watch and stop; save it for Papermill."""
    if here.headless:
        display.text(f"With nobody to fill in the form: it would train {experiment(defaults(dataset)).title}.")
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
            file, command = keep(values(), name.value)
        except UserError as error:
            says.value = sentence(str(error), bad=True)
        else:
            says.value = (
                sentence(f"Saved as {paths.shown(file)}. Cross-entropy and this run, executed by Papermill:")
                + f"<pre>{command}</pre>"
            )

    save.on_click(saved)
    show(row(*form.values()), *trainer.parts, row(name, save), says)


def fields(dataset: str, look: dict[str, Any]) -> dict[str, Any]:
    """The form: a widget for each parameter that it offers."""
    import ipywidgets as widgets

    start = defaults(dataset)
    named = {name: Experiment.model_fields[parameters.field_of(name)] for name in _CHOSEN}
    choices = {name: get_args(field.annotation) for name, field in named.items()}
    described = {"dataset": "data", "factor": "imbalance factor", "beta": "β", "gamma": "γ (focal)"}
    form: dict[str, Any] = {}
    for name in ("model", "dataset", "imbalance", "factor", "loss", "beta", "gamma"):
        words = {"description": described.get(name, name), "value": start[name], **look}
        form[name] = widgets.Dropdown(options=choices[name], **words) if name in choices else widgets.FloatText(**words)
    for name in ("epochs", "batch_size", "learning_rate", "seed"):
        words = {"description": name.replace("_", " "), "value": start[name], **look}
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
    return parameters.complete(parameters.check(given, NOTEBOOK, where="the form"), NOTEBOOK)


def experiment(values: dict[str, Any]) -> Experiment:
    """The run of the form: the same that the sweep notebook trains for its β; errors as `complete`."""
    checked = complete(values)
    sheet = Notebook("beta_sweep", headless=True, origin="", values=checked)
    return sheet.experiment(beta=checked["betas"][0], validation=0)


def keep(values: dict[str, Any], name: str) -> tuple[Path, str]:
    """Write params/<name>/beta_sweep.yaml, valid for Papermill.

    Returns:
        The file, and the command that executes the notebook with it.

    Raises:
        UserError: as `complete`, and for a name that is taken by the repository or no folder's.
    """
    if not _NAME.fullmatch(name):
        raise UserError(f"A name has letters, digits, - and _ only, not {name!r}.")
    if name in SHIPPED:
        raise UserError(f"{name} is a profile of the repository; choose another name.")
    chosen = complete(values) | {"headless": True, "profile": name, "repeats": 1}
    experiment(values)
    file = paths.PARAMS / name / NOTEBOOK.with_suffix(".yaml").name
    file.parent.mkdir(exist_ok=True)
    meanings = parameters.declared(NOTEBOOK)
    lines = ["# Saved from explore.ipynb: cross-entropy, and one class-balanced loss.\n"]
    for key, value in chosen.items():
        lines.append(f"{key}: {json.dumps(value)}  # {meanings[key].meaning}\n")  # JSON is YAML
    file.write_text("".join(lines))
    out = f"outputs/{name}/beta_sweep.ipynb"
    command = f"mkdir -p outputs/{name}\n.venv/bin/papermill notebooks/beta_sweep.ipynb {out} -f {paths.shown(file)}"
    return file, command
