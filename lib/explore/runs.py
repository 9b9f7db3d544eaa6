"""Every stored run in a table; those that are picked beside each other."""

from collections.abc import Mapping, Sequence

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from lib import display
from lib.data import CLASS_NAMES
from lib.experiment import Experiment
from lib.figures import PERCENT, STYLE, WIDTH
from lib.notebook import Notebook
from lib.records import Store, everything
from lib.statistics import mean_interval, paired_difference
from lib.training import Record

MOST = 5  # settings that are told apart at a glance
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9")  # Okabe-Ito
_MARKERS = "osD^v"
_ALT = (
    "Test accuracy by epoch for each of the picked settings, its last epoch by class, and each difference "
    "to the first by class, with 95 percent intervals where there are seeds enough."
)
_COLUMNS = {
    "model": "model",
    "loss": "loss",
    "beta": "β",
    "gamma": "γ",
    "data": "data",
    "imbalance": "imbalance",
    "factor": "factor",
    "epochs": "epochs",
    "batch_size": "batch",
    "learning_rate": "rate",
    "seed": "seed",
    "best_accuracy": "best epoch (%)",
    "last_accuracy": "last epoch (%)",
    "finished": "finished",
    "key": "key",
}


def runs(here: Notebook) -> None:
    """Filter the table and pick two runs or more; see their curves, classes and differences."""
    store = everything()
    frame = table(store)
    if frame.empty:
        display.text("No run is stored yet. Train one below, or with `make report`.")
        return
    records = {record.key: record for record in store.records()}
    first = default_pick(records)
    if here.headless:
        groups = by_setting([records[key] for key in first], records.values())
        caption = "The settings that the table would show first, beside each other; last epoch, bars over seeds."
        shown = [record for group in groups.values() for record in group]
        display.figure(draw(groups), "runs", caption, alt=_ALT, records=shown)
        return
    import ipywidgets as widgets
    from itables.widget import ITable

    from lib.explore.page import picture, row, sentence, show

    rows = [n for n, key in enumerate(frame["key"]) if key in first]
    options = {"select": "multi", "selected_rows": rows, "scrollX": True, "pageLength": 8, "showIndex": False}
    options["layout"] = {"topStart": None, "topEnd": "search", "bottomStart": "info", "bottomEnd": "paging"}
    listed = ITable(frame, caption=f"{len(frame)} stored runs; click to pick, search to filter", **options)
    all_seeds = widgets.Checkbox(value=True, description="with all seeds of a setting", indent=False)
    shown = widgets.HTML()

    def again(_=None) -> None:
        picked = [records[key] for key in frame["key"].iloc[list(listed.selected_rows)] if key in records]
        groups = by_setting(picked, records.values() if all_seeds.value else picked)
        if not groups:
            shown.value = sentence("Pick at least one run.")
        elif len(groups) > MOST:
            shown.value = sentence(f"{len(groups)} settings are picked; at most {MOST} can be told apart.", bad=True)
        else:
            shown.value = picture(draw(groups), _ALT)

    listed.observe(again, names="selected_rows")
    all_seeds.observe(again, names="value")
    again()
    show(listed, row(all_seeds), shown)


def table(store: Store) -> pd.DataFrame:
    """What the table shows: a row per stored run, the newest first; accuracies in percent."""
    frame = store.frame()
    if frame.empty:
        return frame
    frame = frame[list(_COLUMNS)].iloc[::-1].reset_index(drop=True)
    for name in ("best_accuracy", "last_accuracy"):
        frame[name] = (100 * frame[name]).round(1)
    return frame.rename(columns=_COLUMNS)


def setting(experiment: Experiment) -> Experiment:
    """The run without its seed."""
    return experiment.replace(seed=0)


def default_pick(records: Mapping[str, Record]) -> list[str]:
    """Keys of two runs to begin with: of the pair of losses, trained alike, that has the most seeds."""
    stored = list(records.values())
    seeds: dict[Experiment, list[Record]] = {}
    for record in stored:
        seeds.setdefault(setting(record.experiment), []).append(record)

    def plain(e: Experiment) -> Experiment:
        return e.replace(loss="cross_entropy", beta=None)

    pairs = [(plain(e), e) for e in seeds if e != plain(e) and plain(e) in seeds]
    if not pairs:
        return [record.key for record in stored[-2:]]
    best = max(pairs, key=lambda pair: (min(len(seeds[e]) for e in pair), pair[1].beta or 0))
    return [seeds[e][0].key for e in best]


def by_setting(picked: Sequence[Record], among: Sequence[Record]) -> dict[str, list[Record]]:
    """The runs of the picked settings by what tells them apart, in the order they were picked."""
    settings = list(dict.fromkeys(setting(record.experiment) for record in picked))
    named = {e: e.setting for e in settings}
    if len(set(named.values())) < len(settings):
        named = {e: f"{e.setting}, {e.details}" for e in settings}
    found: dict[str, list[Record]] = {f"{n}: {named[e]}": [] for n, e in enumerate(settings, start=1)}
    place = dict(zip(settings, found.values(), strict=True))
    for record in among:
        place.get(setting(record.experiment), []).append(record)
    return found


def draw(groups: Mapping[str, Sequence[Record]]) -> Figure:
    """Curves, classes and differences of some settings: {name: runs from several seeds}."""
    with mpl.rc_context(STYLE):
        figure, axes = plt.subplots(3, 1, figsize=(WIDTH, 7.6), layout="constrained", height_ratios=(1, 1, 0.9))
        curves, classes, differences = axes
        base = {r.experiment.seed: r for r in next(iter(groups.values()))}
        for n, (name, records) in enumerate(groups.items()):
            colour = _COLOURS[n]
            for record in records:
                line = [e.test.accuracy for e in record.history]
                label = f"{name} ({len(records)} run{'s' * (len(records) > 1)})" if record is records[0] else None
                x = range(1, len(line) + 1)
                curves.plot(x, line, color=colour, lw=1.2, marker=_MARKERS[n], ms=3, label=label)
            _bars(classes, n, len(groups), np.array([r.last.test.per_class for r in records]), colour)
            if n:
                _differences(differences, n, len(groups), base, records, colour)
        curves.set(title="test accuracy by epoch", xlabel="epoch")
        classes.set(title="test accuracy by class, last epoch", ylim=(0, 1))
        differences.set(title="difference to the first by class, last epoch, paired by seed (points)")
        differences.axhline(0, color="black", lw=0.8)
        if len(groups) == 1:
            differences.text(0.5, 0.5, "pick another setting to compare", transform=differences.transAxes, ha="center")
        for each in (classes, differences):
            each.set_xticks(range(len(CLASS_NAMES)), CLASS_NAMES, fontsize=8)
        for each in (curves, classes):
            each.yaxis.set_major_formatter(PERCENT)
        for each in axes:
            each.title.set_fontsize(9)
        figure.legend(*curves.get_legend_handles_labels(), loc="outside upper center", fontsize=8, ncols=1)
    return figure


def _bars(axes, n: int, groups: int, values: np.ndarray, colour: str) -> None:
    mean, half = mean_interval(values)
    width = 0.8 / groups
    x = np.arange(len(mean)) + (n - (groups - 1) / 2) * width
    axes.bar(x, mean, width, color=colour, edgecolor="white", lw=0.5, hatch=("", "///", "...", "xx", "\\\\")[n])
    if np.isfinite(half).all():
        axes.errorbar(x, mean, half, fmt="none", ecolor="black", elinewidth=1, capsize=2)


def _differences(axes, n: int, groups: int, base: Mapping[int, Record], records: Sequence[Record], colour: str) -> None:
    shared = [(r.last.test, base[r.experiment.seed].last.test) for r in records if r.experiment.seed in base]
    if not shared:
        return
    pairs = [(a.per_class, b.per_class) for a, b in shared]
    found = [paired_difference([a[k] for a, _ in pairs], [b[k] for _, b in pairs]) for k in range(len(CLASS_NAMES))]
    x = np.arange(len(found)) + (n - groups / 2) * 0.6 / groups
    mean = 100 * np.array([d.mean for d in found])
    axes.plot(x, mean, ls="", marker=_MARKERS[n], ms=5, color=colour)
    if not np.isnan(found[0].low):
        low, high = (100 * np.array([getattr(d, end) for d in found]) for end in ("low", "high"))
        axes.errorbar(x, mean, (mean - low, high - mean), fmt="none", ecolor=colour, elinewidth=1, capsize=2)
