"""Session of a notebook: its checked parameters, its store, and the runs that its cells ask for."""

import logging
import types
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lib.experiment import Experiment
from lib.notebook import exhibits, parameters
from lib.runs import sweep
from lib.runs.store import Store, opened
from lib.system import paths
from lib.system.errors import UserError
from lib.training import Interrupted, Record

_BEGUN = "_writeup_begun"
_IPYTHON = {"In", "Out", "exit", "quit", "open", "get_ipython"}
#: Experiments by the name that a notebook gives their setting.
Wanted = Mapping[Hashable, Experiment]


@dataclass
class Notebook:
    """State that a notebook's cells share."""

    headless: bool
    origin: str  # the parameter file that new records name as theirs
    values: dict[str, Any]  # its parameters
    store: Store = field(default_factory=Store)

    @property
    def trains(self) -> bool:
        """Missing runs are trained, not only named."""
        return self.values.get("runs") != "published"

    def experiment(self, **fields: Any) -> Experiment:
        """Return the run that the parameters describe, with `fields` in place of theirs."""
        own = {name: value for name, value in self.values.items() if name in Experiment.model_fields}
        return Experiment.make(**{"data": self.values["dataset"]} | own | fields)

    def stored(self, settings: Wanted, seeds: Sequence[int]) -> dict[Hashable, dict[int, Record]]:
        """Return stored runs by setting and then by seed; a setting without any has an empty entry."""
        found = {name: {seed: self.store.get(e.replace(seed=seed)) for seed in seeds} for name, e in settings.items()}
        return {name: {seed: run for seed, run in by_seed.items() if run} for name, by_seed in found.items()}

    def grid(
        self, settings: Wanted, seeds: Sequence[int], *, curves: str = "", original: float | None = None
    ) -> dict[Hashable, dict[int, Record]]:
        """Train what is not stored, and return runs as `stored`: a figure grows in JupyterLab, else progress lines.

        Runs that are neither stored nor trained are left out and named, and so are failed ones, with their reasons.

        Args:
            curves: name of a figure of how the runs trained, which stays in the report; "" for none there.
            original: an accuracy for that figure to compare with.
        """
        live = exhibits.Live(curves, original, self.store)
        options = {"store": self.store, "origin": self.origin, "scheduler": self.values.get("scheduler", "")}
        if not self.headless:
            options |= {"on_epoch": live.on_epoch, "tell": live.tell}
        try:
            if self.trains:
                sweep.run([e.replace(seed=seed) for e in settings.values() for seed in seeds], **options)
        except sweep.RunsFailed as error:
            exhibits.failed(error.reasons)
        except KeyboardInterrupt as stop:
            sentence = "Stopped. Finished runs are kept; run this cell again to go on."
            raise stop if isinstance(stop, Interrupted) else Interrupted(sentence) from None
        found = self.stored(settings, seeds)
        live.finish([record for by_seed in found.values() for record in by_seed.values()])
        if not self.trains:
            exhibits.text(not_run(found, seeds))
        return found

    def repeated(self, experiment: Experiment, seeds: Sequence[int], **options: Any) -> list[Record]:
        """Return runs of one setting, by seed; as `grid`, but it is an error if there is none.

        Raises:
            UserError: there is none: nothing is trained, and none is stored, or all failed.
        """
        found = list(self.grid({experiment.setting: experiment}, seeds, **options)[experiment.setting].values())
        if not found:
            if self.trains:
                raise UserError(f"No run of {experiment.setting} was finished; the reasons are listed above.")
            raise UserError(f"Not run yet: {experiment.title}. Train it with the parameter runs=train.")
        return found


def not_run(runs: Mapping[Hashable, Mapping[int, Record]], seeds: Sequence[int]) -> str:
    """Name the wanted runs that are not stored, in a sentence; "" where none is missing."""
    missing = [(name, len(by_seed)) for name, by_seed in runs.items() if len(by_seed) < len(seeds)]
    if not missing:
        return ""
    said = ", ".join(f"{_in_words(name)} ({n or 'none'} of {len(seeds)})" for name, n in missing)
    return f"**Not run yet,** by setting and runs that are there: {said}."


def _in_words(name: Hashable) -> str:
    if isinstance(name, tuple):
        return " ".join(_in_words(part) for part in name)
    return f"β = {name:g}" if isinstance(name, float) else str(name)


def begin(name: str, namespace: dict[str, Any]) -> Notebook:
    """Check the parameters that reached a notebook, and open its store.

    Args:
        namespace: the notebook's globals(), with the declared parameters and whatever was injected. Values
            are normalised in place, so that `1e-3` from a YAML file is a number.

    Raises:
        UserError: an unknown parameter, a wrong type or value.
    """
    file = paths.NOTEBOOKS / f"{name}.ipynb"
    given = {key: namespace[key] for key in parameters.declared(file) if key in namespace}
    if not namespace.get(_BEGUN):  # when the cell is run again, the later cells' variables exist too
        values = {k: v for k, v in namespace.items() if not (callable(v) or isinstance(v, types.ModuleType))}
        given |= {k: v for k, v in values.items() if not k.startswith("_") and k not in _IPYTHON}
    values = parameters.check(given, file, where=f"the parameters of {name}")
    namespace.update(values | {_BEGUN: True})
    if values["headless"]:  # an interrupted kernel's event loop logs errors to the runner's terminal
        logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    store = opened(values["profile"], values.get("runs", "train"))
    return Notebook(values["headless"], parameters.origin(values["profile"], name, values), values, store)


def asked_by(name: str, profile: str) -> Notebook:
    """Open another notebook of the same profile, for its stored runs.

    It has the parameters of the last report, else those of its file.
    """
    values = parameters.executed(profile, name)
    return Notebook(headless=True, origin="", values=values, store=opened(profile, values.get("runs", "train")))
