"""Records in, data frames out, and numbers as a reader sees them. Accuracies are percentages."""

from collections.abc import Callable, Collection, Mapping, Sequence
from operator import attrgetter
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.nn.modules.module import register_module_forward_hook

from lib.analysis.statistics import Difference, Runs, accuracy, mean_interval
from lib.models import parameter_count
from lib.training import Record

NOT_RUN = "not run yet"
#: Words for the layers that a table describes; others go by their type.
_KINDS = {
    nn.Conv2d: "convolution {0.kernel_size[0]}×{0.kernel_size[1]}, {0.in_channels} → {0.out_channels}",
    nn.Linear: "linear {0.in_features} → {0.out_features}",
}


def percent(mean: float, half: float = float("nan")) -> str:
    """Return a fraction as a percentage, with its half-interval where there is one."""
    if np.isnan(mean):
        return "–"
    text = f"{100 * mean:.1f}"
    return text if np.isnan(half) else f"{text} ± {100 * half:.1f}"


def with_interval(values: Sequence[float] | np.ndarray) -> str:
    """Return the mean of some fractions as a percentage, with its 95 % interval where there are at least two."""
    return percent(*map(float, mean_interval(values))) if len(values) else NOT_RUN


def reached(runs: Runs, value: Callable[[Record], float] = accuracy) -> str:
    """Return the mean of a value of some runs, by default the accuracy at the last epoch, as `with_interval`."""
    return with_interval([value(record) for record in runs.values()])


def difference(d: Difference) -> str:
    """Return a difference of accuracies in points, with its interval where there is one."""
    if not min(d.seeds):
        return NOT_RUN
    text = f"{100 * d.mean:+.1f}"
    return text if np.isnan(d.low) else f"{text} [{100 * d.low:+.1f}, {100 * d.high:+.1f}]"


def model(module: nn.Module) -> pd.DataFrame:
    """Layers with parameters: their kind, output shape for one 32 x 32 image, and number of parameters."""
    names, rows = {layer: name for name, layer in module.named_modules()}, []

    def note(layer: nn.Module, _: Any, output: torch.Tensor) -> None:
        if list(layer.parameters()) and not list(layer.children()):
            kind = _KINDS.get(type(layer), type(layer).__name__).format(layer)
            rows.append((names[layer], kind, " × ".join(map(str, output.shape[1:])), f"{parameter_count(layer):,}"))

    with register_module_forward_hook(note), torch.inference_mode():
        module.eval()(torch.zeros(1, 3, 32, 32))
    rows.append(("total", "", "", f"{parameter_count(module):,}"))
    return pd.DataFrame(rows, columns=["layer", "kind", "output", "parameters"]).set_index("layer")


def per_class(rows: Mapping[Any, np.ndarray], classes: Sequence[str], axis: Any = "accuracy (%)") -> pd.DataFrame:
    """One row per name, one column per class and their mean; values [C], or [seeds, C].

    The mean over the classes has its 95 % interval over seeds; those of the classes would not fit a page.
    """
    lines = {}
    for name, values in rows.items():
        seeds = np.atleast_2d(np.asarray(values, dtype=float))
        lines[name] = [*map(percent, seeds.mean(axis=0)), with_interval(seeds.mean(axis=1))]
    return pd.DataFrame(lines, index=[*classes, "mean"]).T.rename_axis(axis)


def means(
    rows: Mapping[str, Collection[Record]], columns: Mapping[str, Callable[[Record], float]], axis: str
) -> pd.DataFrame:
    """One row per name: the mean of each value over its runs, with its 95 % interval, and the number of runs."""
    lines: dict[str, dict[str, str | int]] = {}
    for name, records in rows.items():
        lines[name] = {column: with_interval(list(map(value, records))) for column, value in columns.items()}
        lines[name]["seeds"] = len(records)
    return pd.DataFrame(lines).T.rename_axis(axis)


def by_rank(accuracies: np.ndarray, counts: Sequence[int]) -> np.ndarray:
    """Means [..., 3] of accuracies [..., C] over the three most frequent classes, those between, and the three rarest.

    The literature's thresholds (more than 100 images, fewer than 20) leave the tail of CIFAR-10 at factor 0.01 empty.
    """
    head, middle, tail = np.split(np.argsort(-np.asarray(counts), kind="stable"), [3, -3])
    return np.stack([accuracies[..., group].mean(axis=-1) for group in (head, middle, tail)], axis=-1)


def quality(rows: Mapping[str, Collection[Record]]) -> pd.DataFrame:
    """One row per name, as `means`, at the last epoch.

    Accuracy over all classes, of head, middle and tail (`by_rank`), and of the worst class; calibration error.
    """
    columns: dict[str, Callable[[Record], float]] = {
        "mean": lambda record: record.last.test.per_class.mean(),
        "head": lambda record: by_rank(record.last.test.per_class, record.counts)[0],
        "middle": lambda record: by_rank(record.last.test.per_class, record.counts)[1],
        "tail": lambda record: by_rank(record.last.test.per_class, record.counts)[2],
        "worst class": lambda record: record.last.test.per_class.min(),
        "calibration error": attrgetter("last.test.calibration_error"),
    }
    return means(rows, columns, "accuracy (%)")
