"""The first call of every notebook: its parameters checked, its store opened, its origin known."""

import re
import types
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from lib import display, parameters, paths, sweep
from lib.experiment import Experiment
from lib.records import Store
from lib.training import Record

_IPYTHON = {"In", "Out", "exit", "quit", "open", "get_ipython"}


@dataclass
class Notebook:
    """What a notebook's cells share."""

    name: str
    headless: bool
    origin: str  # the parameter file that new records name as theirs
    store: Store = field(default_factory=Store)

    def run(self, experiments: Sequence[Experiment]) -> list[Record]:
        """Load what is stored, train the rest; a live figure in JupyterLab, progress lines otherwise."""
        if self.headless:
            return sweep.run(experiments, store=self.store, origin=self.origin)
        with display.live_curves() as on_epoch:
            return sweep.run(experiments, store=self.store, origin=self.origin, on_epoch=on_epoch)


def begin(name: str, namespace: dict[str, Any]) -> Notebook:
    """Check the parameters that reached a notebook and open what it works with.

    Args:
        namespace: the notebook's globals(), with the declared parameters and whatever was injected. Values
            are normalised in place, so that `1e-3` from a YAML file is a number.

    Raises:
        UserError: an unknown parameter or a wrong type, before any cell has done work.
    """
    file = paths.NOTEBOOKS / f"{name}.ipynb"
    given = {key: value for key, value in namespace.items() if _is_value(key, value)}
    if not namespace.get("headless"):  # at a person's second run the later cells' variables are there too
        known = parameters.declared(file)
        given = {key: value for key, value in given.items() if key in known}
    namespace.update(parameters.check(given, file, where=f"the parameters of {name}"))
    profile = namespace["profile"]
    origin = paths.PARAMS / profile / f"{name}.yaml"
    origin = paths.shown(origin) if origin.exists() else f"notebooks/{name}.ipynb"
    return Notebook(name, headless=namespace["headless"], origin=origin)


def _is_value(key: str, value: Any) -> bool:
    """Whether a global is a parameter rather than IPython's furniture or an import."""
    if key.startswith("_") or key in _IPYTHON or re.fullmatch(r"_?i+\d*", key):
        return False
    return not isinstance(value, types.ModuleType | types.FunctionType | type) and not callable(value)
