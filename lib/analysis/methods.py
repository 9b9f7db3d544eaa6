"""Long-tail methods of the field by name, and those that correct a finished model."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pydantic import BaseModel, TypeAdapter, ValidationError
from torch import Tensor

from lib.analysis import statistics as stats
from lib.analysis.logits import adjusted, tau_normalised
from lib.experiment import Experiment
from lib.runs.store import Store
from lib.system import files
from lib.system.errors import UserError, explain
from lib.training import Record
from lib.training.evaluation import measure

Found = Mapping[str, stats.Runs]  # runs by method and seed


class Method(BaseModel, frozen=True, extra="forbid"):
    """Fields of an experiment in which a method departs from cross-entropy, and published test errors in percent."""

    fields: dict[str, Any]
    published: list[tuple[float, str]] = []  # each with its source


def _read(file: Path) -> dict[str, Method]:
    try:
        return TypeAdapter(dict[str, Method]).validate_python(files.parse_yaml(file.read_bytes(), file.name))
    except ValidationError as error:
        raise UserError(f"{file.name}: {explain(error.errors(), known=sorted(Method.model_fields))}") from None


METHODS = _read(Path(__file__).with_name("methods.yaml"))
AFTER = ("Logit adjustment", "τ-normalisation")  # they correct a finished model of cross-entropy
TRAINED = [name for name in METHODS if name not in AFTER]


def experiments(values: Mapping[str, Any], shorter: int = 1) -> dict[str, Experiment]:
    """Return the methods that a notebook's parameters ask for, with every number of epochs divided by `shorter`.

    Raises UserError for a method with a wrong field, or with one that changes nothing.
    """
    own = {name: value for name, value in values.items() if name in Experiment.model_fields}
    deferred, warmup = (round(own[name] / shorter) for name in ("deferred", "warmup"))
    lengths = (values["epochs"], values["retrain_epochs"], *values["steps"])
    epochs, more, *steps = (max(1, round(n / shorter)) for n in lengths)
    own |= {"data": values["dataset"], "validation": 0.0, "epochs": epochs, "warmup": warmup, "steps": steps}
    wanted, asked = {}, {"beta": values["beta"], "deferred": deferred}
    for name in values["methods"] or TRAINED:
        fields = {k: asked.get(k, v) if v is True else v for k, v in METHODS[name].fields.items()}
        fields |= {"deferred": epochs, "epochs": epochs + more} if fields.get("retrain") else {}
        try:
            wanted[name] = Experiment.make(**own | {"beta": None, "deferred": 0} | fields)
        except UserError as error:
            less = f" with every number of epochs divided by {shorter}" if shorter > 1 else ""
            raise UserError(f"the method {name}{less}: {error}") from None
        kept = wanted[name].model_dump(mode="json")
        lost = [field for field, value in fields.items() if kept[field] != value or (field == "deferred" and not value)]
        if lost:
            raise UserError(f"the method {name}: its field {lost[0]} has no effect (lib/analysis/methods.yaml).")
    return wanted


def corrections(record: Record, store: Store, images: str) -> dict[str, Callable[[float], Tensor]]:
    """Return each method after training as a function of tau that gives a run's logits [N, C] of "test" images."""
    logits = store.tensors(record, "logits")[images].float()
    stored = store.tensors(record, "output" if store.file(record.key, "output.safetensors") else "last")  # older runs
    output = {name.removeprefix("output."): value for name, value in stored.items()}
    adjust = partial(adjusted, logits, record.counts)
    return dict(zip(AFTER, (adjust, partial(tau_normalised, logits, output["weight"], output["bias"])), strict=True))


def choose_taus(held_out: stats.Runs, store: Store, labels: Tensor, taus: Sequence[float]) -> dict[str, float]:
    """Choose the tau of each method after training on held-out images: the highest mean accuracy over the classes."""
    scores = pd.DataFrame(0.0, index=list(taus), columns=AFTER)
    for record in held_out.values():
        for name, correct in corrections(record, store, "validation").items():
            scores[name] += [np.nanmean(measure(correct(tau), labels).per_class) for tau in taus]
    return {name: float(scores[name].idxmax()) for name in AFTER}


def after_training(
    ce: stats.Runs, store: Store, labels: Tensor, taus: Sequence[float], chosen: Mapping[str, float]
) -> dict[str, dict[int, Record]]:
    """Return cross-entropy's records as each method after training changes their results on the test set.

    Their last epoch has the `chosen` tau, the one before it the best of `taus` on the test set: the rules of a record's
    `last` and `best` epoch.
    """
    found: dict[str, dict[int, Record]] = {name: {} for name in chosen}
    for seed, record in ce.items():
        for name, correct in corrections(record, store, "test").items():
            tried = {tau: measure(correct(tau), labels) for tau in [*taus, chosen[name]]}
            two = (max(tried.values(), key=lambda e: e.accuracy), tried[chosen[name]])
            epochs = [record.last.model_copy(update={"test": evaluation}) for evaluation in two]
            found[name][seed] = record.model_copy(update={"history": epochs})
    return found


def error(record: Record) -> float:
    """Test error at the last epoch, a fraction."""
    return 1 - record.last.test.accuracy
