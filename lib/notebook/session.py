"""Session of a notebook: its checked parameters, its store, and the runs that its cells ask for."""

import logging
import sys
import types
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import matplotlib
from torch import Tensor

from lib.analysis import plots
from lib.experiment import Experiment
from lib.notebook import exhibits, parameters
from lib.runs import sweep
from lib.runs.store import Store, opened
from lib.system import paths, source
from lib.system.errors import UserError
from lib.training import Interrupted, Record

Wanted = Mapping[Hashable, Experiment]  # experiments by the name that a notebook gives their setting
Found = dict[Hashable, dict[int, Record]]  # their runs, by the same name and then by seed


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

    def stored(self, settings: Wanted, seeds: Sequence[int]) -> Found:
        """Return stored runs by setting and then by seed; a setting without any has an empty entry.

        Where nothing is trained every kept run of a setting counts, whatever its seed, in every notebook of the report.
        """
        found = {name: {seed: self.store.get(e.replace(seed=seed)) for seed in seeds} for name, e in settings.items()}
        kept = {} if self.trains else {name: self.store.by_seed(e) for name, e in settings.items()}
        together = {name: by_seed | kept.get(name, {}) for name, by_seed in found.items()}
        return {name: {s: runs[s] for s in sorted(runs) if runs[s]} for name, runs in together.items()}

    def logits(self, runs: Mapping[int, Record]) -> dict[int, Tensor]:
        """Return the test logits [N, C] of the last epoch, float32, of those runs that keep them."""
        kept = {seed: run.experiment for seed, run in runs.items() if self.store.file(run.key, "logits.safetensors")}
        return {seed: self.store.tensors(experiment, "logits")["test"].float() for seed, experiment in kept.items()}

    def grid(self, settings: Wanted, seeds: Sequence[int], *, curves: str = "", original: float | None = None) -> Found:
        """Train what is not stored, and return runs as `stored`: a figure grows in JupyterLab, else progress lines.

        Runs that are neither stored nor trained are left out and named, and so are failed ones, with their reasons.
        `curves` names a figure of the training, which stays in the report; it shows the `original` accuracy, if any.
        """
        for file in source.edited():
            said = "has been saved since this kernel loaded it; restart the kernel to use what it says now."
            print(f"{paths.shown(file)} {said}", file=sys.stderr)
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
            live.stop()
            sentence = "Stopped. Finished runs are kept; run this cell again to go on."
            raise stop if isinstance(stop, Interrupted) else Interrupted(sentence) from None
        found = self.stored(settings, seeds)
        records = [record for by_seed in found.values() for record in by_seed.values()]
        live.finish(records)
        if not self.trains:
            exhibits.text(not_run(found, seeds))
        elif kept := sum(not self.store.path(own).exists() for own in {record.experiment for record in records}):
            exhibits.text(f"*Runs that were loaded, not trained, as the repository keeps them: {kept}.*")
        return found

    def repeated(self, experiment: Experiment, seeds: Sequence[int], **options: Any) -> list[Record]:
        """Return runs of one setting, by seed; as `grid`, but raises UserError where there is none."""
        found = list(self.grid({experiment.setting: experiment}, seeds, **options)[experiment.setting].values())
        if found:
            return found
        if self.trains:
            raise UserError(f"No run of {experiment.setting} was finished; the reasons are listed above.")
        raise UserError(f"Not run yet: {experiment.title}. Train it with the parameter runs=train.")


def not_run(runs: Found, seeds: Sequence[int]) -> str:
    """Name the wanted runs that are not stored, in a sentence; "" where none is missing."""
    missing = [(name, len(by_seed.keys() & set(seeds))) for name, by_seed in runs.items()]
    missing = [(name, n) for name, n in missing if n < len(seeds)]
    said = ", ".join(f"{_in_words(name)} ({n or 'none'} of {len(seeds)})" for name, n in missing)
    return f"**Not run yet,** by setting and runs that are there: {said}." if missing else ""


def _in_words(name: Hashable, symbol: str = "β") -> str:
    if isinstance(name, tuple):
        return ", ".join(_in_words(part, symbol) for part, symbol in zip(name, "βγ", strict=True))
    if isinstance(name, float):
        return f"{symbol} = {name:g}"
    return f"draw {name}" if isinstance(name, int) else str(name)


def meant(module: types.ModuleType) -> list[str]:
    """Return what Tab lists of a module: its `__all__`, or its public names without what it imports."""
    own = {name: value for name, value in vars(module).items() if not name.startswith("_")}
    imported = [n for n, v in own.items() if getattr(v, "__module__", module.__name__) != module.__name__]
    modules = [name for name, value in own.items() if isinstance(value, types.ModuleType)]
    return getattr(module, "__all__", [name for name in own if name not in {*imported, *modules}])


def begin(name: str, namespace: dict[str, Any]) -> Notebook:
    """Check the parameters in a notebook's globals() as `check`, put their types right in place, and open its store.

    Parameters are what its parameters cell declares and what Papermill has injected, not a person's other variables.
    """
    file = paths.NOTEBOOKS / f"{name}.ipynb"
    plain = {k: v for k, v in namespace.items() if not (callable(v) or isinstance(v, types.ModuleType))}
    declared, injected = parameters.declared(file), parameters.injected(namespace.get("In", ()))
    given = {name: plain.get(name) for name in [*declared, *injected] if name in plain or name not in declared}
    values = parameters.check(given, file, where=f"the parameters of {name}")
    if values["profile"] != declared["profile"].default:
        parameters.check_profile(values["profile"])
    namespace.update(values)
    for module in [m for name, m in sys.modules.items() if name.partition(".")[0] == "lib"]:
        module.__dir__ = partial(meant, module)
    matplotlib.rcParams.update(plots.STYLE)
    exhibits.watched = not values["headless"]
    if values["headless"]:  # an interrupted kernel's event loop logs errors to the runner's terminal
        logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    store = opened(values["profile"], values.get("runs", "train"), kept=not values["headless"])
    return Notebook(values["headless"], parameters.origin(values["profile"], name, values), values, store)


def asked_by(name: str, profile: str, kept: bool = False) -> Notebook:
    """Open another notebook of the profile, for its stored runs; its parameters are the last report's or its file's.

    With `kept`, in a notebook that a person runs, its parameters are the file's, and runs that the repository keeps
    count too.
    """
    values = parameters.of_profile(profile, name) if kept else parameters.executed(profile, name)
    return Notebook(headless=True, origin="", values=values, store=opened(profile, values.get("runs", "train"), kept))
