"""Parameters as a contract: a cell of literals with their meanings per notebook, and one checked `Plan` per profile."""

import ast
import difflib
import os
import sys
from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import nbformat
import yaml
from pydantic import BaseModel

from lib.analysis.methods import TRAINED, experiments
from lib.experiment import Experiment
from lib.runs.store import SOURCES
from lib.system import files, paths
from lib.system.errors import UserError, quoted, reason

Values = dict[str, Any]
_CONTRACT = yaml.safe_load(Path(__file__).with_name("contract.yaml").read_bytes())
FIELDS, GROUPS, READINGS = (_CONTRACT[key] for key in ("fields", "groups", "readings"))
_KINDS = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a text",
    list: "a list (in Papermill: -y)",
}
#: Chapters of a report, in order; a profile has those for which it has a file.
NOTEBOOKS = ("convnet", "data_wrangling", "beta_sweep", "settings", "ablations", "methods", "claims")
#: Profiles with the original's own settings, from which the others depart: the write-up's, and the field's protocol.
EXACT = dict.fromkeys(NOTEBOOKS, "writeup") | {"methods": "field"}
VARIABLE = "WRITEUP_PLAN"  # names the plan's file to the kernels of a report
MODES = {"headless", "profile", "runs", "scheduler"}  # how a notebook is executed, not what it trains
#: Settings that the write-up states. The others are additions: seeds, and comparisons beyond its own runs.
STATED = Experiment.model_fields.keys() - {"validation"} | {"baseline_epochs", "betas", "dataset", "retrain_epochs"}


class Parameter(NamedTuple):
    default: Any
    meaning: str


def declared(notebook: Path) -> dict[str, Parameter]:
    """Return the parameters in a notebook's cell tagged `parameters`; UserError without one, or for another line."""
    cells = nbformat.read(files.regular(notebook, files.TEXT), 4).cells
    tagged = [cell.source for cell in cells if "parameters" in cell.metadata.get("tags", [])]
    where, parameters = paths.shown(notebook), {}
    if len(tagged) != 1:
        raise UserError(f"{where} has {len(tagged)} cells tagged `parameters`; it needs exactly one.")
    for line in tagged[0].splitlines():
        assignment, _, meaning = line.partition("  # ")
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        try:
            name, value = assignment.split("=", 1)
            parameters[name.strip()] = Parameter(ast.literal_eval(value.strip()), meaning.strip())
        except (ValueError, SyntaxError):
            raise UserError(f"{where}: a parameter is a line `name = literal  # meaning`, not {line!r}.") from None
    return parameters


def read(file: Path, notebook: Path) -> Values:
    """Return a parameter file's values, checked and completed; UserError names file, key and what is allowed."""
    try:
        content = files.parse_yaml(files.regular(file, files.PARAMETERS).read_bytes(), paths.shown(file))
    except FileNotFoundError:
        raise UserError(f"There is no parameter file {paths.shown(file)}.") from None
    except OSError as error:
        raise UserError(f"{paths.shown(file)} cannot be read: {error.strerror}.") from None
    if not isinstance(content, dict | None):
        raise UserError(f"{paths.shown(file)} has to hold `name: value` lines.")
    return check(content or {}, notebook, where=paths.shown(file))


def check(values: Values, notebook: Path, where: str) -> Values:
    """Return every parameter of a notebook: `values`, typed, and other defaults; as `read`, with `where` for a file."""
    known = declared(notebook)
    try:
        if unknown := [_unknown(name, known) for name in values if name not in known]:
            raise UserError(f"{notebook.stem} has no parameter {unknown[0]}.")
        typed = {name: _as(known[name].default, value, name) for name, value in values.items()}
        for name, value in typed.items():
            _check_value(name, value)
        complete = {name: parameter.default for name, parameter in known.items()} | typed
        described(complete)  # values that are right one by one may contradict each other
        for shorter in (1, complete["shorter"]) if "methods" in complete else ():
            experiments(complete, shorter)
        for first, number in _CONTRACT["seeds"]:
            if complete.get(first, 0) + complete.get(number, 0) > 2**32:
                raise UserError(f"{first} and {number} give seeds of 2^32 and more; choose a smaller {first}.")
    except UserError as error:
        raise UserError(f"{where}: {error}") from None
    return complete


def injected(cells: Sequence[str]) -> list[str]:
    """Return the names that the last cell which Papermill has injected assigns, but for its own (PAPERMILL_...)."""
    last = next((cell for cell in reversed(cells) if cell.partition("\n")[0].rstrip() == "# Parameters"), "")
    with suppress(SyntaxError):  # a person's cell with a magic, for instance
        found = [target for node in ast.parse(last).body if isinstance(node, ast.Assign) for target in node.targets]
        return [t.id for t in found if isinstance(t, ast.Name) and not t.id.startswith("PAPERMILL_")]
    return []


def _unknown(name: str, known: Collection[str]) -> str:
    """Return an unknown parameter's name with the nearest known one, or with all known ones."""
    fields = [parameter for parameter, field in FIELDS.items() if field == name and parameter in known]
    near = fields or difflib.get_close_matches(str(name), known, 1)
    return f"{quoted(name)}; " + (f"the nearest one is {near[0]}" if near else f"there are {', '.join(known)}")


def described(values: Values) -> Experiment:
    """Return the experiment that a notebook's values describe, apart from those that are lists of a field's values."""
    single = {FIELDS.get(name, name): v for name, v in values.items() if not (name in FIELDS and isinstance(v, list))}
    fields = {name: value for name, value in single.items() if name in Experiment.model_fields}
    return Experiment.make(**{"model": "ConvNet", "epochs": 1} | fields)


def _check_value(name: str, value: Any) -> None:
    """Check a value before any run starts; an experiment would refuse it only after earlier runs were trained."""
    field, items = FIELDS.get(name, name), value if isinstance(value, list) else [value]
    if not items and name not in _CONTRACT["may_be_empty"]:
        raise UserError(f"{name} has to have at least one value.")
    if field not in Experiment.model_fields:
        least, most = _CONTRACT["ranges"].get(name, (1, 10**6))
        for number in items:
            if (name in _CONTRACT["ranges"] or type(number) is int) and not least <= number <= most:
                raise UserError(f"{name} has to lie between {least} and {most}, not {quoted(number)}.")
    if name == "profile":
        paths.profile_name(value)
    if name == "runs" and value not in SOURCES:
        raise UserError(f"{name} has to be one of {', '.join(map(repr, SOURCES))}, not {quoted(value)}.")
    if name == "readings" and (unknown := [each for each in value if each not in READINGS]):
        raise UserError(f"there is no reading {quoted(unknown[0])}; known ones: {', '.join(READINGS)}.")
    if name == "methods" and (unknown := [each for each in value if each not in TRAINED]):
        raise UserError(f"no method {quoted(unknown[0])} is trained; known ones: {', '.join(map(quoted, TRAINED))}.")
    if name == "methods" and value and "CE" not in value:
        raise UserError("methods has to have 'CE' too, which the others are compared with.")
    if name in GROUPS and (wrong := [each for each in value if len(each) != len(GROUPS[name])]):
        raise UserError(f"each of the {name} has to be [{', '.join(GROUPS[name])}], not {quoted(wrong[0])}.")
    try:
        for each in items if name in FIELDS | GROUPS else [value]:
            described(dict(zip(GROUPS[name], each, strict=True)) if name in GROUPS else {field: each})
    except UserError as error:
        raise UserError(f"{name}: {str(error).removeprefix(f'{field}: ')}") from None


def _as(default: Any, value: Any, what: str) -> Any:
    """Return `value` as the type of `default`, numbers for an empty list; Papermill's YAML reads 1e-3 as a text."""
    if isinstance(default, list) and isinstance(value, list | tuple):
        typed = [_as(default[0] if default else 0.0, item, what) for item in value]
        # Each value once, but for the epochs at which the learning rate falls and the numbers of a group.
        return [item for n, item in enumerate(typed) if item not in typed[:n] or what in ("steps", *GROUPS)]
    if type(default) in (int, float):
        text = isinstance(value, str) and files.NUMBER.fullmatch(value)
        if text or (isinstance(value, int | float) and not isinstance(value, bool)):
            with suppress(OverflowError):
                number = float(value)
                if isinstance(default, float) or number.is_integer():
                    return type(default)(number)
    elif isinstance(value, type(default)):
        return value
    raise UserError(f"{what} has to be {_KINDS[type(default)]} like {quoted(default)}, not {quoted(value)}.")


class Plan(BaseModel, frozen=True):
    """Parameters of a profile's notebooks."""

    profile: str
    files: dict[str, Values]  # by notebook, as the profile's files have them
    values: dict[str, Values]  # the same with the changes of the command line
    departures: list[dict[str, Any]]  # from the write-up's settings: name, exact, here, and the notebooks

    @classmethod
    def of(cls, profile: str, changes: Values | None = None) -> "Plan":
        """Read and check a profile, and `changes` for every notebook that declares them; UserError for a wrong one."""
        files, changes = {name: of_profile(profile, name) for name in chapters(profile)}, changes or {}
        declared = sorted({key for own in files.values() for key in own})
        if "profile" in changes:
            raise UserError("The profile is chosen by --profile, not by a parameter.")
        if unknown := [_unknown(key, declared) for key in changes if key not in declared]:
            raise UserError(f"No notebook has a parameter {unknown[0]}.")
        values = {}
        for name, own in files.items():
            changed = {key: changes.get(key, value) for key, value in own.items()}
            values[name] = check(changed, paths.NOTEBOOKS / f"{name}.ipynb", where="the command line")
        return cls(profile=profile, files=files, values=values, departures=_departures(values))

    def save(self, file: Path) -> None:
        """Write the plan for the kernels that are started with it."""
        files.write(file, self.model_dump_json(indent=1).encode())

    @classmethod
    def load(cls, file: Path) -> "Plan":
        """Read a plan that `save` wrote; UserError for anything else."""
        try:
            return cls.model_validate_json(files.regular(file, files.TEXT).read_bytes())
        except (OSError, ValueError) as error:
            where, why = paths.shown(file), reason(error)
            raise UserError(f"{where} cannot be read ({why}); remove it, or make the report again.") from None


def executed(profile: str, name: str) -> Values:
    """Parameters of a notebook as the profile's report was last executed, else those of its file."""
    file, notebook = file_of(profile), paths.NOTEBOOKS / f"{name}.ipynb"
    try:
        stored, known = Plan.load(file).values[name] if file.exists() else of_profile(profile, name), declared(notebook)
        return check({key: value for key, value in stored.items() if key in known}, notebook, paths.shown(file))
    except (UserError, KeyError) as error:  # damaged, or of another version
        print(f"The last report's parameters of {name} are not used: {reason(error)}", file=sys.stderr)
        return of_profile(profile, name)


def file_of(profile: str) -> Path:
    """The file of the plan with which a profile's report was last executed."""
    return paths.OUTPUTS / profile / "plan.json"


def origin(profile: str, name: str, values: Values) -> str:
    """The parameter file of these values, as this kernel's plan has it or else read, and every difference from it."""
    file = paths.PARAMS / profile / f"{name}.yaml"
    plan = Plan.load(Path(os.environ[VARIABLE])) if VARIABLE in os.environ else None
    if plan and plan.profile == profile and name in plan.files:
        own = plan.files[name]
    elif file.exists():
        own = of_profile(profile, name)
    else:
        return f"notebooks/{name}.ipynb"
    changed = [f"{key}={value}" for key, value in values.items() if key not in MODES and value != own[key]]
    return paths.shown(file) + (f" with {', '.join(changed)}" if changed else "")


def check_profile(profile: str) -> None:
    """Raise UserError where params/ has no such folder."""
    known = sorted(folder.name for folder in paths.PARAMS.iterdir() if folder.is_dir())
    if profile not in known:
        raise UserError(f"There is no profile {quoted(profile)}; known profiles: {', '.join(known)}.")


def chapters(profile: str) -> list[str]:
    """The notebooks of a profile's report, in order; UserError where there is no such profile, or no file in it."""
    check_profile(profile)
    files = {file.stem: file for file in (paths.PARAMS / profile).glob("*.yaml")}
    if wrong := next((file for name, file in files.items() if name not in NOTEBOOKS), None):
        raise UserError(f"{paths.shown(wrong)} is for no notebook of the report; there are {', '.join(NOTEBOOKS)}.")
    if files:
        return [name for name in NOTEBOOKS if name in files]
    raise UserError(f"{paths.shown(paths.PARAMS / profile)} has no parameter file, such as {NOTEBOOKS[0]}.yaml.")


def departing(own: Values, exact: Values) -> list[str]:
    """Names of the stated settings in which a notebook's values depart from the original's, and which they use."""
    unused = {"steps", "decay", "warmup"} if own.get("schedule") == "one_cycle" else set()
    if "methods" in own:  # published from float32 and other epochs of evaluation, which make no other method of one
        unused |= {"precision", "evaluate_every"}
    return [name for name in own if name in (STATED & exact.keys()) - unused and own[name] != exact[name]]


def of_profile(profile: str, name: str) -> Values:
    """A profile's parameters for one notebook; errors as `read`."""
    values = read(paths.PARAMS / profile / f"{name}.yaml", paths.NOTEBOOKS / f"{name}.ipynb")
    return values | {"profile": profile}  # a copied folder is a profile of its own, whatever its files still say


def _departures(values: dict[str, Values]) -> list[dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for notebook, own in values.items():
        for key in departing(own, exact := of_profile(EXACT[notebook], notebook)):
            departure = {"name": key, "exact": (stated := exact[key]), "here": own[key], "notebooks": []}
            found.setdefault(repr((key, stated, own[key])), departure)["notebooks"].append(notebook)
    return list(found.values())
