"""Session of a notebook: its checked parameters, its store, and the runs that its cells ask for."""

import logging
import types
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lib.experiment import Experiment
from lib.notebook import exhibits, parameters, plan
from lib.notebook.live import Live
from lib.runs import sweep
from lib.runs.store import Store, opened
from lib.system import paths
from lib.system.errors import UserError
from lib.training import Interrupted, Record

_BEGUN = "_writeup_begun"
_IPYTHON = {"In", "Out", "exit", "quit", "open", "get_ipython"}


@dataclass
class Notebook:
    """State that a notebook's cells share."""

    name: str
    headless: bool
    origin: str  # the parameter file that new records name as theirs
    values: dict[str, Any]  # its parameters
    store: Store = field(default_factory=Store)
    says: bool = True  # name missing runs in the notebook

    @property
    def trains(self) -> bool:
        """Missing runs are trained, not only named."""
        return self.values.get("runs") != "published"

    def experiment(self, **fields: Any) -> Experiment:
        """Return the run that the parameters describe, with `fields` in place of theirs."""
        settings = {parameters.field_of(name): value for name, value in self.values.items()}
        own = {name: value for name, value in settings.items() if name in Experiment.model_fields}
        return Experiment.make(**own | fields)

    def grid(
        self,
        settings: Mapping[Hashable, Experiment],
        seeds: Sequence[int],
        *,
        curves: str = "",
        original: float | None = None,
        **options: Any,
    ) -> dict[Hashable, dict[int, Record]]:
        """Return runs of several settings from several seeds, by setting and then by seed.

        Runs that are neither stored nor trained are left out and named, and so are failed ones, with their reasons; a
        setting without any run has an empty entry.

        Args:
            curves, original, options: as for `run`.
        """
        live = Live(curves, original, self.store)
        wanted = {(name, seed): e.replace(seed=seed) for name, e in settings.items() for seed in seeds}
        if not self.trains:
            wanted = {place: e for place, e in wanted.items() if self.store.get(e)}
        found: dict[Hashable, dict[int, Record]] = {name: {} for name in settings}
        try:
            records: Sequence[Record | None] = self._run(list(wanted.values()), live, options)
        except sweep.RunsFailed as error:
            exhibits.failed(error.reasons)
            records = [self.store.get(e) for e in wanted.values()]
        for (name, seed), record in zip(wanted, records, strict=True):
            if record:
                found[name][seed] = record
        live.finish([record for record in records if record])
        if self.says and not self.trains:
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

    def run(
        self, experiments: Sequence[Experiment], *, curves: str = "", original: float | None = None, **options: Any
    ) -> list[Record]:
        """Load what is stored, train the rest; a figure that grows in JupyterLab, progress lines otherwise.

        Args:
            curves: name of a figure of how the runs trained, which stays in the report; "" for none there.
            original: an accuracy for that figure to compare with.
            options: `workers` of `lib.runs.sweep.run`.

        Raises:
            UserError: runs are missing, and the parameters say that nothing is trained.
        """
        live = Live(curves, original, self.store)
        records = self._run(experiments, live, options)
        live.finish(records)
        return records

    def _run(self, experiments: Sequence[Experiment], live: Live, options: dict[str, Any]) -> list[Record]:
        if not self.trains:
            missing = [e.title for e in experiments if not self.store.get(e)]
            if missing:
                raise UserError(
                    f"{len(missing)} runs of {self.name} are not among the kept ones ({missing[0]} is the first); "
                    "train them with the parameter runs=train."
                )
        options |= {"store": self.store, "origin": self.origin, "scheduler": self.values.get("scheduler", "")}
        if not self.headless:
            options |= {"on_epoch": live.on_epoch, "tell": live.tell}
        try:
            return sweep.run(experiments, **options)
        except Interrupted:
            raise
        except KeyboardInterrupt:
            raise Interrupted("Stopped. Finished runs are kept; run this cell again to go on.", []) from None


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
    given = {key: value for key, value in namespace.items() if _is_value(key, value)}
    if namespace.get(_BEGUN):  # when the cell is run again, the later cells' variables exist too
        known = parameters.declared(file)
        given = {key: value for key, value in given.items() if key in known}
    given = parameters.check(given, file, where=f"the parameters of {name}")
    namespace.update(given)
    namespace[_BEGUN] = True
    if namespace["headless"]:  # an interrupted kernel's event loop logs errors to the runner's terminal
        logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    values = {key: namespace[key] for key in parameters.declared(file) if key in namespace}
    store = opened(given["profile"], values.get("runs", "train"))
    return Notebook(name, namespace["headless"], plan.origin(given["profile"], name, given), values, store)


def asked_by(name: str, profile: str) -> Notebook:
    """Open another notebook of the same profile: its runs can be loaded, not trained.

    It has the parameters of the last report, else those of its file.
    """
    values = plan.executed(profile, name)
    store = opened(profile, values.get("runs", "train"))
    return Notebook(name, headless=True, origin="", values=values | {"runs": "published"}, store=store, says=False)


def _is_value(key: str, value: Any) -> bool:
    """Tell a parameter from the globals of IPython and from imports."""
    if key.startswith("_") or key in _IPYTHON:
        return False
    return not isinstance(value, types.ModuleType) and not callable(value)
