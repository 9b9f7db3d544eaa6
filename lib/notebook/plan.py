"""A profile's parameter files as one value, parsed and checked once."""

import os
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from lib.notebook import parameters
from lib.system import paths
from lib.system.errors import UserError

#: The notebooks of the report, in its order.
NOTEBOOKS = ("convnet", "data_wrangling", "beta_sweep", "settings", "ablations", "claims")
#: The profile with the write-up's own settings, from which the others depart.
EXACT = "writeup"
#: Names the plan's file to the kernels of a report.
VARIABLE = "WRITEUP_PLAN"
#: Parameters that decide how a notebook is executed, not what it trains.
MODES = {"headless", "profile", "runs", "scheduler"}
#: Comparisons beyond the write-up's own runs, and numbers of seeds: a shorter list is no departure from its settings.
_ADDITIONS = {"batch_sizes", "gamma_betas", "gammas", "learning_rates", "losses", "normalisations", "readings"}
_ADDITIONS |= {"margin", "reading_repeats", "repeats", "subset_seeds", "validation"}
Values = dict[str, Any]


class Departure(BaseModel, frozen=True):
    """A parameter that differs from the write-up's settings."""

    name: str
    exact: Any
    here: Any
    notebooks: list[str]


class Plan(BaseModel, frozen=True):
    """Parameters of a profile's notebooks."""

    profile: str
    files: dict[str, Values]  # by notebook, as the profile's files have them
    values: dict[str, Values]  # the same with the changes of the command line
    departures: list[Departure]

    @classmethod
    def of(cls, profile: str, changes: Values | None = None) -> "Plan":
        """Read and check a profile.

        Args:
            changes: parameters given on the command line; each goes to every notebook that declares it.

        Raises:
            UserError: no such profile, a missing file, an unknown key, a wrong type.
        """
        known = sorted(folder.name for folder in paths.PARAMS.iterdir() if folder.is_dir())
        if profile not in known:
            raise UserError(f"There is no profile {profile!r}; known profiles: {', '.join(known)}.")
        files = {name: read(profile, name) for name in NOTEBOOKS}
        declared = {key for own in files.values() for key in own}
        for key in changes or {}:
            if key not in declared:
                raise UserError(f"No notebook has a parameter {key!r}; there are {', '.join(sorted(declared))}.")
        values = {}
        for name, own in files.items():
            changed = own | {key: value for key, value in (changes or {}).items() if key in own}
            values[name] = parameters.check(changed, _notebook(name), where="the command line")
        exact = files if profile == EXACT else {name: read(EXACT, name) for name in NOTEBOOKS}
        return cls(profile=profile, files=files, values=values, departures=_departures(values, exact))

    def save(self, file: Path) -> None:
        """Write the plan for the kernels that are started with it."""
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(self.model_dump_json(indent=1))

    @classmethod
    def load(cls, file: Path) -> "Plan":
        """Read a plan that `save` wrote."""
        return cls.model_validate_json(file.read_text())


def executed(profile: str, name: str) -> Values:
    """Parameters of a notebook as the profile's report was last executed, else those of its file."""
    file = file_of(profile)
    found = Plan.load(file).values.get(name) if file.exists() else None
    return found or read(profile, name)


def file_of(profile: str) -> Path:
    """The file of the plan with which a profile's report was last executed."""
    return paths.OUTPUTS / profile / "plan.json"


def origin(profile: str, name: str, values: Values) -> str:
    """The parameter file that these values come from, and every difference from it; else the notebook.

    The file's values are those of the plan that this kernel was started with, if it was, else read.
    """
    file = _file(profile, name)
    plan = Plan.load(Path(os.environ[VARIABLE])) if VARIABLE in os.environ else None
    if plan and plan.profile == profile and name in plan.files:
        own = plan.files[name]
    elif file.exists():
        own = read(profile, name)
    else:
        return f"notebooks/{name}.ipynb"
    changed = [f"{key}={value}" for key, value in values.items() if key not in MODES and value != own[key]]
    return paths.shown(file) + (f" with {', '.join(changed)}" if changed else "")


def read(profile: str, name: str) -> Values:
    """A profile's parameters for one notebook; errors as `parameters.read`."""
    values = parameters.read(_file(profile, name), _notebook(name))
    return values | {"profile": profile}  # a copied folder is a profile of its own, whatever its files still say


def _file(profile: str, name: str) -> Path:
    return paths.PARAMS / profile / f"{name}.yaml"


def _notebook(name: str) -> Path:
    return paths.NOTEBOOKS / f"{name}.ipynb"


def _departures(values: dict[str, Values], exact: dict[str, Values]) -> list[Departure]:
    found: dict[str, Departure] = {}
    for notebook, own in values.items():
        for key, value in own.items():
            if key not in MODES | _ADDITIONS and value != exact[notebook][key]:
                departure = Departure(name=key, exact=exact[notebook][key], here=value, notebooks=[])
                found.setdefault(repr((key, departure.exact, value)), departure).notebooks.append(notebook)
    return list(found.values())
