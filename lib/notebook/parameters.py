"""Parameters as a contract: one cell per notebook, literals only, one per line, each with its meaning."""

import ast
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import yaml

from lib.experiment import Experiment
from lib.runs.store import SOURCES
from lib.system import paths
from lib.system.errors import UserError

#: Parameters that have another name than the field of an experiment which they set.
_FIELDS = {"dataset": "data"}
_AT_LEAST_ONE = {"repeats", "seeds", "reach_seeds", "reach_epochs", "reading_repeats"}
_CHOICES = {"runs": SOURCES}
#: Parameters that hold several values of a field.
_LISTS = {
    "betas": "beta",
    "gammas": "gamma",
    "gamma_betas": "beta",
    "batch_sizes": "batch_size",
    "learning_rates": "learning_rate",
    "normalisations": "normalisation",
    "subset_seeds": "subset_seed",
    "losses": "loss",
}


@dataclass(frozen=True)
class Parameter:
    name: str
    default: Any
    meaning: str


def declared(notebook: Path) -> dict[str, Parameter]:
    """Return the parameters of a notebook, from its cell tagged `parameters`.

    Raises:
        UserError: no such cell, or a line in it that is not `name = literal  # meaning`.
    """
    cells = [c for c in nbformat.read(notebook, 4).cells if "parameters" in c.metadata.get("tags", [])]
    if len(cells) != 1:
        raise UserError(f"{paths.shown(notebook)} has {len(cells)} cells tagged `parameters`; it needs exactly one.")
    parameters = {}
    for line in cells[0].source.splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        assignment, _, meaning = line.partition("  # ")
        try:
            name, value = (part.strip() for part in assignment.split("=", 1))
            parameters[name] = Parameter(name, ast.literal_eval(value), meaning.strip())
        except (ValueError, SyntaxError):
            raise UserError(
                f"{paths.shown(notebook)}: the parameters cell takes one `name = literal  # meaning` a line, "
                f"not {line!r}."
            ) from None
    return parameters


def read(file: Path, notebook: Path) -> dict[str, Any]:
    """Return a parameter file's values, checked against the notebook that it is for.

    Raises:
        UserError: naming the file, the key, and what is allowed.
    """
    if not file.exists():
        raise UserError(f"There is no parameter file {paths.shown(file)}.")
    try:
        content = yaml.safe_load(file.read_text()) or {}
    except yaml.YAMLError as error:
        raise UserError(f"{paths.shown(file)} is not valid YAML: {' '.join(str(error).split())}.") from None
    if not isinstance(content, dict):
        raise UserError(f"{paths.shown(file)} has to hold `name: value` lines.")
    return check(content, notebook, where=paths.shown(file))


def check(values: dict[str, Any], notebook: Path, where: str) -> dict[str, Any]:
    """Return values with the types of the notebook's defaults; raises UserError as `read` does."""
    known = declared(notebook)
    for name in values:
        if name not in known:
            raise UserError(
                f"{where}: {notebook.stem} has no parameter {name!r}; its parameters are {', '.join(known)}."
            )
    typed = {name: _as(known[name].default, value, f"{where}: {name}") for name, value in values.items()}
    for name, value in typed.items():
        _check_value(name, value, where)
    return typed


def complete(values: dict[str, Any], notebook: Path) -> dict[str, Any]:
    """Return `values`, and the notebook's defaults for the parameters that they leave out."""
    return {name: parameter.default for name, parameter in declared(notebook).items()} | values


def field_of(name: str) -> str:
    """Return the field of an experiment that a parameter sets, if it sets one: most have the parameter's name."""
    return _FIELDS.get(name, name)


def _check_value(name: str, value: Any, where: str) -> None:
    """Check a value before any run starts; an experiment would refuse it only after earlier runs were trained."""
    if (name in _AT_LEAST_ONE and value < 1) or (name in _LISTS and not value):
        raise UserError(f"{where}: {name} has to be at least one, not {value!r}.")
    if name in _CHOICES and value not in _CHOICES[name]:
        raise UserError(f"{where}: {name} has to be one of {', '.join(map(repr, _CHOICES[name]))}, not {value!r}.")
    field = _LISTS.get(name) or ("epochs" if name == "baseline_epochs" else field_of(name))
    if field not in Experiment.model_fields:
        return
    for each in value if name in _LISTS else [value]:
        try:
            Experiment.make(**({"model": "ConvNet", "epochs": 1} | {field: each}))
        except UserError as error:
            raise UserError(f"{where}: {name}: {str(error).removeprefix(f'{field}: ')}") from None


def _as(default: Any, value: Any, what: str) -> Any:
    """Return `value` as the type of `default`; PyYAML reads 1e-3 as a string, which becomes a number here."""
    wrong = UserError(f"{what} has to be {_kind(default)} like {default!r}, not {value!r}.")
    if isinstance(default, list):
        if not isinstance(value, list | tuple):
            raise wrong
        return [_as(default[0], item, what) for item in value] if default else list(value)
    if isinstance(default, bool):
        if not isinstance(value, bool):
            raise wrong
        return value
    if isinstance(default, int | float):
        try:
            number = float(value)
        except (TypeError, ValueError):
            raise wrong from None
        if isinstance(value, bool) or (isinstance(default, int) and not number.is_integer()):
            raise wrong
        return int(number) if isinstance(default, int) else number
    if not isinstance(value, type(default)):
        raise wrong
    return value


def _kind(default: Any) -> str:
    names = {bool: "true or false", int: "a whole number", float: "a number", str: "a text", list: "a list"}
    return names[type(default)]
