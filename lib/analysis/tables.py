"""Records in, data frames out. Accuracies are percentages."""

from collections.abc import Hashable, Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from torch import nn

from lib.analysis.statistics import Difference, groups, mean_interval, paired_difference
from lib.data import CLASS_NAMES
from lib.models import parameter_count
from lib.training import Record


def percent(mean: float, half: float = float("nan")) -> str:
    """A fraction as a percentage, with its half-interval where there is one."""
    text = f"{100 * mean:.1f}"
    return text if np.isnan(half) else f"{text} ± {100 * half:.1f}"


def with_interval(values: Sequence[float]) -> str:
    """The mean of some fractions as a percentage, with its 95 % interval where there are at least two."""
    return percent(*map(float, mean_interval(values)))


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
    """Two rows per beta, reproduced (with 95 % intervals over seeds) and published; columns are classes and mean.

    Args:
        reproduced: [betas, seeds, C] fractions.
    """
    rows, index = [], []
    for beta, seeds in zip(betas, reproduced, strict=True):
        mean, half = mean_interval(np.column_stack([seeds, seeds.mean(axis=1)]))
        rows.append([percent(m, h) for m, h in zip(mean, half, strict=True)])
        index.append((f"{beta:g}", "reproduced"))
        if beta in published:
            rows.append([percent(value) for value in (*published[beta], np.mean(published[beta]))])
            index.append((f"{beta:g}", "published"))
    names = pd.MultiIndex.from_tuples(index, names=["β", "accuracy (%)"])
    return pd.DataFrame(rows, columns=[*CLASS_NAMES, "mean"], index=names)


def quality(rows: Mapping[str, Sequence[Record]]) -> pd.DataFrame:
    """One row per name at the last epoch: accuracy in all, of head, middle and tail, of the worst class, and
    calibration error, each with its 95 % interval over seeds."""
    lines = {}
    for name, records in rows.items():
        accuracies = np.array([record.last.test.per_class for record in records])
        columns = {"mean": accuracies.mean(axis=1)}
        columns |= {group: accuracies[:, k].mean(axis=1) for group, k in groups(records[0].counts).items()}
        columns |= {
            "worst class": accuracies.min(axis=1),
            "calibration error": np.array([record.last.test.calibration_error for record in records]),
        }
        lines[name] = {column: with_interval(values) for column, values in columns.items()}
        lines[name]["seeds"] = len(records)
    return pd.DataFrame(lines).T.rename_axis("accuracy (%)")


def compared(runs: Mapping[str, Mapping[int, Record]], base: str) -> pd.DataFrame:
    """One row per setting: accuracy at the last epoch, and its difference to `base`, paired by seed (95 % interval)."""
    lines = {}
    for name, by_seed in runs.items():
        shared = sorted(by_seed.keys() & runs[base].keys())
        line = {"last epoch (%)": "not run yet", f"difference to {base} (points)": "–"}
        if by_seed:
            line["last epoch (%)"] = with_interval([r.last.test.accuracy for r in by_seed.values()])
        if shared and name != base:
            a, b = ([runs[which][s].last.test.accuracy for s in shared] for which in (name, base))
            line[f"difference to {base} (points)"] = difference(paired_difference(a, b))
        lines[name] = line | {"runs": len(by_seed), "pairs": "–" if name == base else len(shared)}
    return pd.DataFrame(lines).T.rename_axis("setting")


def difference(d: Difference) -> str:
    """A difference of accuracies in points, with its interval where there is one."""
    text = f"{100 * d.mean:+.1f}"
    return text if np.isnan(d.low) else f"{text} [{100 * d.low:+.1f}, {100 * d.high:+.1f}]"


def readings(runs: Mapping[str, Mapping[int, Record]], published: float) -> pd.DataFrame:
    """One row per reading of the ConvNet's settings: accuracy, and how far it is from the published."""
    lines = {}
    for name, by_seed in runs.items():
        line = dict.fromkeys(("best epoch (%)", "last epoch (%)", "difference to published (points)"), "not run yet")
        if by_seed:
            best = [r.best.test.accuracy for r in by_seed.values()]
            line["best epoch (%)"] = with_interval(best)
            line["last epoch (%)"] = percent(
                *map(float, mean_interval([r.last.test.accuracy for r in by_seed.values()]))
            )
            line["difference to published (points)"] = f"{100 * (np.mean(best) - published):+.1f}"
        lines[name] = line | {"seeds": len(by_seed)}
    return pd.DataFrame(lines).T.rename_axis("reading")


def alike(settings: Mapping[Hashable, tuple[Mapping[int, Record], Mapping[int, Record]]]) -> pd.DataFrame:
    """One row per setting: cross-entropy and the balanced loss at the last epoch, from the seeds that they share, and
    their difference by seed."""
    lines = {}
    for name, (ce, balanced) in settings.items():
        line = dict.fromkeys(("CE (%)", "CB-Focal (%)", "difference (points)"), "not run yet")
        shared = sorted(ce.keys() & balanced.keys())
        if shared:
            a, b = ([runs[s].last.test.accuracy for s in shared] for runs in (balanced, ce))
            line = {
                "CE (%)": with_interval(b),
                "CB-Focal (%)": with_interval(a),
                "difference (points)": difference(paired_difference(a, b)),
            }
        lines[str(name)] = line | {"seeds": len(shared)}
    return pd.DataFrame(lines).T.rename_axis("setting")


def by_two(runs: Mapping[tuple, Mapping[int, Record]], rows: str, columns: str) -> pd.DataFrame:
    """Accuracy at the last epoch of runs by two settings, {(row, column): runs by seed}."""
    cells: dict[str, dict[str, str]] = {}
    for (row, column), by_seed in runs.items():
        reached = [record.last.test.accuracy for record in by_seed.values()]
        cells.setdefault(f"{rows} = {row}", {})[f"{columns} {column}"] = (
            with_interval(reached) if reached else "not run yet"
        )
    return pd.DataFrame(cells).T.rename_axis("accuracy (%)")
