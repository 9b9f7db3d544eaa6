"""Tables of single chapters that compare settings; accuracies are percentages."""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from torch import Tensor

from lib.analysis import logits
from lib.analysis.methods import AFTER, METHODS, Found, error
from lib.analysis.prose import seeds_in_words
from lib.analysis.statistics import Runs, accuracy, best_accuracy, compare
from lib.analysis.tables import NOT_RUN, difference, means, per_class, percent, reached, with_interval
from lib.losses import LOSSES
from longtail_writeup.findings import common_seeds, gain, half_interval


def sweep(rows: Mapping[str, np.ndarray], original: Mapping[str, np.ndarray], classes: Sequence[str]) -> pd.DataFrame:
    """Two rows per group of betas, as `per_class`: reproduced [seeds, C], and the mean of the original's [betas, C]."""
    lines: dict[tuple[str, str], Any] = {}
    for name, seeds in rows.items():
        lines[name, "reproduced"] = seeds
        if n := len(original[name]):
            lines[name, f"original (mean of {n})" if n > 1 else "original"] = original[name].mean(axis=0)
    return per_class(lines, classes, ["β", "accuracy (%)"])


def compared(runs: Mapping[str, Runs], base: str) -> pd.DataFrame:
    """One row per setting: accuracy at the last epoch, and its difference to `base` (95 % interval).

    Where numbers of seeds differ, one more column has the difference on the seeds that all settings have.
    """
    lines: dict[str, dict[str, str | int]] = {}
    ran = [own for own in runs.values() if own]
    shared, uneven = common_seeds(*ran), len({*map(len, ran)}) > 1
    for name, own in runs.items():
        gain = "–" if name == base else difference(compare(accuracy, own, runs[base]))
        lines[name] = {"last epoch (%)": reached(own), "difference (points)": gain}
        if shared and uneven:
            first, second = ({seed: each[seed] for seed in shared if seed in each} for each in (own, runs[base]))
            again = "–" if name == base else difference(compare(accuracy, first, second))
            lines[name][f"on {seeds_in_words(len(shared))} in common"] = again
        lines[name]["seeds"] = len(own)
    return pd.DataFrame(lines).T.rename_axis("setting")


def readings(runs: Mapping[str, Runs], original: float) -> pd.DataFrame:
    """One row per reading of the ConvNet's settings: accuracy, and the best epoch's difference to the original's."""
    rules = {"best epoch (%)": best_accuracy, "last epoch (%)": accuracy}
    table = means({name: own.values() for name, own in runs.items()}, rules, "reading")
    best = [[best_accuracy(record) for record in own.values()] for own in runs.values()]
    away = [f"{100 * (np.mean(values) - original):+.1f}" if values else NOT_RUN for values in best]
    table.insert(2, "difference (points)", away)
    return table


def by_two(runs: Mapping[tuple, Runs], rows: str, columns: str) -> pd.DataFrame:
    """Accuracy at the last epoch of runs by two numbers, {(row, column): runs by seed}; "–" for a pair without."""
    cells = {(f"{rows} = {row:g}", f"{columns} = {column:g}"): reached(own) for (row, column), own in runs.items()}
    return pd.Series(cells).unstack(sort=False, fill_value="–").rename_axis("accuracy (%)")


def alike(settings: Mapping[Hashable, tuple[Runs, Runs]]) -> pd.DataFrame:
    """One row per setting, {setting: (CE, balanced)}: accuracies at the last epoch, and their difference."""
    lines = {}
    for name, (ce, balanced) in settings.items():
        lines[str(name)] = {
            "CE (%)": reached(ce),
            "CB-Focal (%)": reached(balanced),
            "difference (points)": difference(compare(accuracy, balanced, ce)),
            "seeds": f"{len(ce)}" if len(ce) == len(balanced) else f"{len(ce)}, {len(balanced)}",
        }
    return pd.DataFrame(lines).T.rename_axis("setting")


def corrected(settings: Mapping[str, logits.Logits], labels: Tensor, counts: Sequence[int], loss: str) -> pd.DataFrame:
    """As `logits.table`; sigmoids have a calibration error of their own, which their softmax would not give."""
    table = logits.table(settings, labels, counts)
    if LOSSES[loss].sigmoid:
        table.loc[table.index != "CE", ["calibration error", "with temperature"]] = "–"
    return table


def tau_table(found: Found, chosen: Mapping[str, float], taus: Sequence[float]) -> pd.DataFrame:
    """One row per method after training: the chosen tau, test errors in percent, and the gain of choosing on them."""
    lines = {}
    for name, tau in chosen.items():
        gains = [best_accuracy(r) - accuracy(r) for r in found[name].values()]
        lines[name] = {
            "τ": f"{tau:g}" + (", the largest" if tau == max(taus) else ""),
            "with it": with_interval([error(r) for r in found[name].values()]),
            "best τ on the test set": with_interval([1 - best_accuracy(r) for r in found[name].values()]),
            "gain of that choice": with_interval(gains),
        }
    return pd.DataFrame(lines).T.rename_axis("test error (%)")


def methods(found: Found, published: bool) -> pd.DataFrame:
    """One row per method: test errors in percent, published and reproduced; the gain over CE in points; the minutes.

    Intervals use the standard deviation that all methods have in common, but for post-hoc methods; gains hold together.
    Values marked * were published for other settings, which their sources name after a comma. Minutes are
    those of a run without shared epochs.
    """
    lines: dict[str, dict[str, Any]] = {}
    for name, runs in found.items():
        known = " · ".join(
            dict.fromkeys(f"{value:.2f}{'*' * (',' in source)}" for value, source in METHODS[name].published)
        )
        lines[name] = {"published": known or "–"} if published else {}
        for rule, value in {"best epoch": best_accuracy, "last epoch": accuracy}.items():
            errors = [1 - value(record) for record in runs.values()]
            common = percent(float(np.mean(errors)), half_interval(found, len(runs), value=value)) if runs else NOT_RUN
            lines[name][rule] = with_interval(errors) if name in AFTER else common
        gained = "–" if name == "CE" else NOT_RUN
        lines[name] |= {
            "gain over CE": difference(gain(found, name)) if runs and found.get("CE") and name != "CE" else gained,
            "seeds": len(runs),
            "minutes": f"{np.mean([r.wall_time for r in runs.values()]) / 60:.0f}" if runs else "–",
        }
    return pd.DataFrame(lines).T.rename_axis("test error (%)")
