"""Records in, data frames out, and numbers as a reader sees them. Accuracies are percentages."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.nn.modules.module import register_module_forward_hook

from lib.analysis.statistics import Difference, Runs, mean_interval
from lib.models import parameter_count
from lib.training import Record

NOT_RUN = "not run yet"


def percent(mean: float, half: float = float("nan")) -> str:
    """Return a fraction as a percentage, with its half-interval where there is one."""
    if np.isnan(mean):
        return "–"
    text = f"{100 * mean:.1f}"
    return text if np.isnan(half) else f"{text} ± {100 * half:.1f}"


def with_interval(values: Sequence[float] | np.ndarray) -> str:
    """Return the mean of some fractions as a percentage, with its 95 % interval where there are at least two."""
    return percent(*map(float, mean_interval(values))) if len(values) else NOT_RUN


def reached(runs: Runs, rule: str = "last") -> str:
    """Return the mean test accuracy of some runs by this rule, as `with_interval`."""
    return with_interval([getattr(record, rule).test.accuracy for record in runs.values()])


def difference(d: Difference) -> str:
    """Return a difference of accuracies in points, with its interval where there is one."""
    if not d.pairs:
        return NOT_RUN
    text = f"{100 * d.mean:+.1f}"
    return text if np.isnan(d.low) else f"{text} [{100 * d.low:+.1f}, {100 * d.high:+.1f}]"


def model(module: nn.Module) -> pd.DataFrame:
    """Layers with parameters: their kind, output shape for one 32 x 32 image, and number of parameters."""
    names, rows = {layer: name for name, layer in module.named_modules()}, []

    def note(layer: nn.Module, _: Any, output: torch.Tensor) -> None:
        if list(layer.parameters()) and not list(layer.children()):
            shape = " × ".join(map(str, output.shape[1:]))
            rows.append((names[layer], _kind(layer), shape, f"{parameter_count(layer):,}"))

    with register_module_forward_hook(note), torch.inference_mode():
        module.eval()(torch.zeros(1, 3, 32, 32))
    rows.append(("total", "", "", f"{parameter_count(module):,}"))
    return pd.DataFrame(rows, columns=["layer", "kind", "output", "parameters"]).set_index("layer")


def _kind(layer: nn.Module) -> str:
    if isinstance(layer, nn.Conv2d):
        return f"convolution {layer.kernel_size[0]}×{layer.kernel_size[1]}, {layer.in_channels} → {layer.out_channels}"
    if isinstance(layer, nn.Linear):
        return f"linear {layer.in_features} → {layer.out_features}"
    return type(layer).__name__


def runs(records: Mapping[str, Record], original: Mapping[str, str]) -> pd.DataFrame:
    """Best and last test accuracy of named runs beside the original's."""
    rows = {
        name: {
            "epochs": record.experiment.epochs,
            "best epoch (%)": f"{percent(record.best.test.accuracy)} (epoch {record.best.epoch})",
            "last epoch (%)": percent(record.last.test.accuracy),
            "original (%)": original.get(name, "–"),
            "run": record.key[:8],
        }
        for name, record in records.items()
    }
    return pd.DataFrame(rows).T.rename_axis("model")


def per_class(rows: Mapping[str, np.ndarray], classes: Sequence[str]) -> pd.DataFrame:
    """One row per name, one column per class and their mean; values [C], or [seeds, C] with 95 % intervals."""
    lines = {name: _by_class(values) for name, values in rows.items()}
    return pd.DataFrame(lines, index=[*classes, "mean"]).T.rename_axis("accuracy (%)")


def sweep(
    betas: Sequence[float], values: np.ndarray, original: Mapping[float, Sequence[float]], classes: Sequence[str]
) -> pd.DataFrame:
    """Two rows per beta, reproduced (values [betas, seeds, C]) and the original's; columns as in `per_class`."""
    lines = {}
    for beta, seeds in zip(betas, values, strict=True):
        lines[f"{beta:g}", "reproduced"] = _by_class(seeds)
        if beta in original:
            lines[f"{beta:g}", "original"] = _by_class(original[beta])
    return pd.DataFrame(lines, index=[*classes, "mean"]).T.rename_axis(["β", "accuracy (%)"])


def _by_class(values: Sequence[float] | np.ndarray) -> list[str]:
    """Accuracy of every class and their mean, from [C] or [seeds, C]."""
    seeds = np.atleast_2d(np.asarray(values, dtype=float))
    mean, half = mean_interval(np.column_stack([seeds, seeds.mean(axis=1)]))
    return [percent(m, h) for m, h in zip(mean, half, strict=True)]


def quality(rows: Mapping[str, Sequence[Record]]) -> pd.DataFrame:
    """One row per name, means with their 95 % intervals over seeds at the last epoch.

    Accuracy over all classes, of the head (the three most frequent ones), the tail (the three rarest), those between,
    and of the worst class; calibration error. Head and tail go by rank, as the literature's thresholds (more than 100
    images, fewer than 20) leave the tail of CIFAR-10 at factor 0.01 empty.
    """
    lines = {}
    for name, records in rows.items():
        accuracies = np.array([record.last.test.per_class for record in records])
        by_rank = accuracies[:, np.argsort(-np.asarray(records[0].counts), kind="stable")]
        columns = {
            "mean": accuracies.mean(axis=1),
            "head": by_rank[:, :3].mean(axis=1),
            "middle": by_rank[:, 3:-3].mean(axis=1),
            "tail": by_rank[:, -3:].mean(axis=1),
            "worst class": accuracies.min(axis=1),
            "calibration error": np.array([record.last.test.calibration_error for record in records]),
        }
        lines[name] = {column: with_interval(values) for column, values in columns.items()} | {"seeds": len(records)}
    return pd.DataFrame(lines).T.rename_axis("accuracy (%)")
