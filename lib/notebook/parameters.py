"""Parameters as a contract: one cell per notebook, literals only, one per line, each with its meaning."""

import ast
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import nbformat
import yaml

from lib.experiment import Experiment
from lib.runs.store import SOURCES
from lib.system import paths
from lib.system.errors import UserError

#: Fields of an experiment that are set by parameters of another name; a list holds several values of its field.
_FIELDS = {"dataset": "data", "baseline_epochs": "epochs", "betas": "beta", "gammas": "gamma", "gamma_betas": "beta"}
_FIELDS |= {"batch_sizes": "batch_size", "learning_rates": "learning_rate", "normalisations": "normalisation"}
_FIELDS |= {"subset_seeds": "subset_seed", "losses": "loss"}
_AT_LEAST_ONE = {"repeats", "seeds", "reach_seeds", "reach_epochs", "reading_repeats"}
_KINDS = {bool: "true or false", int: "a whole number", float: "a number", str: "a text", list: "a list"}


class Parameter(NamedTuple):
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
        assignment, _, meaning = line.partition("  # ")
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        try:
            name, value = assignment.split("=", 1)
            parameters[name.strip()] = Parameter(ast.literal_eval(value.strip()), meaning.strip())
        except (ValueError, SyntaxError):
            raise UserError(
                f"{paths.shown(notebook)}: the parameters cell takes one `name = literal  # meaning` a line, "
                f"not {line!r}."
            ) from None
    return parameters


def read(file: Path, notebook: Path) -> dict[str, Any]:
    """Return a parameter file's values, checked and completed by the notebook that it is for.

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
    """Return every parameter of a notebook: `values` with the types of its defaults, and the other defaults.

    Raises:
        UserError: as for `read`, in the words of `where`.
    """
    known = declared(notebook)
    for name in values:
        if name not in known:
            raise UserError(
                f"{where}: {notebook.stem} has no parameter {name!r}; its parameters are {', '.join(known)}."
            )
    typed = {name: _as(known[name].default, value, f"{where}: {name}") for name, value in values.items()}
    for name, value in typed.items():
        _check_value(name, value, where)
    return {name: parameter.default for name, parameter in known.items()} | typed


def _check_value(name: str, value: Any, where: str) -> None:
    """Check a value before any run starts; an experiment would refuse it only after earlier runs were trained."""
    several = name in _FIELDS and isinstance(value, list)
    if (name in _AT_LEAST_ONE and value < 1) or (several and not value):
        raise UserError(f"{where}: {name} has to be at least one, not {value!r}.")
    if name == "runs" and value not in SOURCES:
        raise UserError(f"{where}: {name} has to be one of {', '.join(map(repr, SOURCES))}, not {value!r}.")
    field = _FIELDS.get(name, name)
    for each in value if several else [value]:
        try:
            if field in Experiment.model_fields:
                Experiment.make(**{"model": "ConvNet", "epochs": 1, field: each})
        except UserError as error:
            raise UserError(f"{where}: {name}: {str(error).removeprefix(f'{field}: ')}") from None


def _as(default: Any, value: Any, what: str) -> Any:
    """Return `value` as the type of `default`; PyYAML reads 1e-3 as a string, which becomes a number here."""
    if isinstance(default, list) and isinstance(value, list | tuple):
        return [_as(default[0], item, what) for item in value] if default else list(value)
    if type(default) in (int, float):
        with suppress(TypeError, ValueError):
            number = float(value)
            if not isinstance(value, bool) and (isinstance(default, float) or number.is_integer()):
                return type(default)(number)
    elif isinstance(value, type(default)):
        return value
    raise UserError(f"{what} has to be {_KINDS[type(default)]} like {default!r}, not {value!r}.")
