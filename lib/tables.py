"""Records in, data frames out. Accuracies are percentages."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from torch import nn

from lib.data import CLASS_NAMES
from lib.models import parameter_count
from lib.statistics import mean_interval
from lib.training import Record


def percent(mean: float, half: float = float("nan")) -> str:
    """A fraction as a percentage, with its half-interval where there is one."""
    text = f"{100 * mean:.1f}"
    return text if np.isnan(half) else f"{text} ± {100 * half:.1f}"


def model(module: nn.Module) -> pd.DataFrame:
    """Layers with parameters: their kind, output shape for one 32 x 32 image, and number of parameters."""
    rows: list[dict] = []

    def note(name: str, layer: nn.Module):
        def hook(_layer, _inputs, output):
            rows.append(
                {
                    "layer": name,
                    "kind": _kind(layer),
                    "output": " × ".join(str(n) for n in output.shape[1:]),
                    "parameters": f"{parameter_count(layer):,}",
                }
            )

        return hook

    layers = [(n, m) for n, m in module.named_modules() if not list(m.children()) and list(m.parameters())]
    hooks = [layer.register_forward_hook(note(name, layer)) for name, layer in layers]
    with torch.inference_mode():
        module.eval()(torch.zeros(1, 3, 32, 32))
    for hook in hooks:
        hook.remove()
    rows.append({"layer": "total", "kind": "", "output": "", "parameters": f"{parameter_count(module):,}"})
    return pd.DataFrame(rows).set_index("layer")


def _kind(layer: nn.Module) -> str:
    if isinstance(layer, nn.Conv2d):
        return f"convolution {layer.kernel_size[0]}×{layer.kernel_size[1]}, {layer.in_channels} → {layer.out_channels}"
    if isinstance(layer, nn.Linear):
        return f"linear {layer.in_features} → {layer.out_features}"
    return type(layer).__name__


def runs(records: Mapping[str, Record], published: Mapping[str, str]) -> pd.DataFrame:
    """Best and last test accuracy of named runs beside what was published about them."""
    rows = {
        name: {
            "epochs": record.experiment.epochs,
            "best epoch (%)": f"{percent(record.best.test.accuracy)} (epoch {record.best.epoch})",
            "last epoch (%)": percent(record.last.test.accuracy),
            "published (%)": published.get(name, "–"),
            "run": record.key[:8],
        }
        for name, record in records.items()
    }
    return pd.DataFrame(rows).T.rename_axis("model")


def per_class(rows: Mapping[str, np.ndarray]) -> pd.DataFrame:
    """One row per name, one column per class and the macro mean; values [C], or [seeds, C] with intervals."""
    lines = {}
    for name, values in rows.items():
        values = np.atleast_2d(np.asarray(values, dtype=float))
        mean, half = mean_interval(values)
        macro, macro_half = mean_interval(values.mean(axis=1))
        cells = [percent(m, h) for m, h in zip(mean, half, strict=True)]
        lines[name] = [*cells, percent(float(macro), float(macro_half))]
    return pd.DataFrame(lines, index=[*CLASS_NAMES, "mean"]).T.rename_axis("accuracy (%)")


def sweep(betas: Sequence[float], reproduced: np.ndarray, published: Mapping[float, Sequence[float]]) -> pd.DataFrame:
    """Two rows per beta, reproduced (mean over seeds) and published; columns are classes and their mean.

    Args:
        reproduced: [betas, seeds, C] fractions.
    """
    rows, index = [], []
    for beta, seeds in zip(betas, reproduced, strict=True):
        mean = seeds.mean(axis=0)
        rows.append([percent(value) for value in (*mean, mean.mean())])
        index.append((f"{beta:g}", "reproduced"))
        if beta in published:
            rows.append([percent(value) for value in (*published[beta], np.mean(published[beta]))])
            index.append((f"{beta:g}", "published"))
    names = pd.MultiIndex.from_tuples(index, names=["β", "accuracy (%)"])
    return pd.DataFrame(rows, columns=[*CLASS_NAMES, "mean"], index=names)
