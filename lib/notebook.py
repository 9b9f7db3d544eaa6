"""The first call of every notebook: its parameters checked, its store opened, its origin known."""

import logging
import types
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from lib import display, parameters, paths, sweep
from lib.experiment import Experiment
from lib.records import Store
from lib.training import Record

_MODES = {"headless", "profile", "replicas"}
_BEGUN = "_writeup_begun"
_IPYTHON = {"In", "Out", "exit", "quit", "open", "get_ipython"}


@dataclass
class Notebook:
    """What a notebook's cells share."""

    name: str
    headless: bool
    origin: str  # the parameter file that new records name as theirs
    store: Store = field(default_factory=Store)

    def run(self, experiments: Sequence[Experiment], **options: Any) -> list[Record]:
        """Load what is stored, train the rest; a live figure in JupyterLab, progress lines otherwise.

        Args:
            options: `workers` and `replicas` of `lib.sweep.run`.
        """
        options |= {"store": self.store, "origin": self.origin}
        if self.headless:
            return sweep.run(experiments, **options)
        with display.live_curves() as on_epoch:
            return sweep.run(experiments, on_epoch=on_epoch, **options)


def begin(name: str, namespace: dict[str, Any]) -> Notebook:
    """Check the parameters that reached a notebook and open what it works with.

    Args:
        namespace: the notebook's globals(), with the declared parameters and whatever was injected. Values
            are normalised in place, so that `1e-3` from a YAML file is a number.

    Raises:
        UserError: an unknown parameter, a wrong type or value, before any cell has done work.
    """
    file = paths.NOTEBOOKS / f"{name}.ipynb"
    given = {key: value for key, value in namespace.items() if _is_value(key, value)}
    if namespace.get(_BEGUN):  # at a person's second run the later cells' variables are there too
        known = parameters.declared(file)
        given = {key: value for key, value in given.items() if key in known}
    given = parameters.check(given, file, where=f"the parameters of {name}")
    namespace.update(given)
    namespace[_BEGUN] = True
    if namespace["headless"]:  # an interrupted kernel's own loop complains on the runner's terminal
        logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    return Notebook(name, headless=namespace["headless"], origin=_origin(name, given))


def _origin(name: str, given: dict[str, Any]) -> str:
    """The parameter file that these values come from, with what differs from it; else the notebook."""
    file = paths.PARAMS / given["profile"] / f"{name}.yaml"
    if not file.exists():
        return f"notebooks/{name}.ipynb"
    notebook = paths.NOTEBOOKS / f"{name}.ipynb"
    asked = parameters.complete(parameters.read(file, notebook), notebook)
    changed = [f"{key}={value}" for key, value in given.items() if key not in _MODES and value != asked[key]]
    return paths.shown(file) + (f" with {', '.join(changed)}" if changed else "")


def _is_value(key: str, value: Any) -> bool:
    """Whether a global is a parameter rather than IPython's furniture or an import."""
    if key.startswith("_") or key in _IPYTHON:
        return False
    return not isinstance(value, types.ModuleType) and not callable(value)
