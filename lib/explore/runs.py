"""The runs panel: every stored run in a table, and the picked ones compared."""

from collections.abc import Iterable, Mapping, Sequence

import ipywidgets as widgets
import matplotlib as mpl
import numpy as np
import pandas as pd
from itables.widget import ITable
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lib import data
from lib.analysis import plots
from lib.analysis.plots import COLOUR, PERCENT
from lib.analysis.prose import details
from lib.analysis.statistics import mean_interval, per_class
from lib.experiment import Experiment
from lib.explore import page
from lib.notebook import exhibits
from lib.notebook.session import Notebook
from lib.runs.store import Store, everything
from lib.system.errors import UserError
from lib.training import Record

MOST = 5  # settings that can be told apart in one figure
_OTHERS = ("#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")  # the Okabe-Ito colours that COLOUR does not use
_MARKERS = "osD^v"
_HATCHES = ("", "///", "...", "xx", "\\\\")
_ALT = (
    "Test accuracy by epoch for each of the picked settings, its last epoch by class, and each difference "
    "to the first by class, with 95 percent intervals for settings with several seeds."
)
_COLUMNS = ["model", "loss", "beta", "gamma", "seed", "best_accuracy", "last_accuracy", "data", "imbalance", "factor"]
_COLUMNS += ["epochs", "batch_size", "learning_rate", "finished", "key"]
_LABELS = {"beta": "β", "gamma": "γ", "batch_size": "batch"}
_LABELS |= {"best_accuracy": "best epoch (%)", "last_accuracy": "last epoch (%)"}
_TABLE = {
    **{"select": "multi", "scrollX": True, "pageLength": 8, "showIndex": False},
    "maxBytes": 0,  # no limit: a long table is shown whole
    "layout": {"topStart": None, "topEnd": "search", "bottomStart": "info", "bottomEnd": "paging"},
}


def runs(here: Notebook) -> None:
    """Show the table of runs, and the picked ones' test accuracy by epoch, by class and relative to the first."""
    store = everything()
    frame = table(store)
    if frame.empty:
        exhibits.text("No run is stored yet. Train one below, or with `make report`, then run this cell again.")
        return
    records = {record.key: record for record in store.records()}
    picked = default_pick(records)  # in the order of the clicks, which the table does not keep
    if here.headless:
        groups = by_setting([records[key] for key in picked], records.values())
        caption = (
            "Two settings: test accuracy by epoch, a line per run; by class at the last epoch, with 95 % intervals "
            "over seeds; and the differences by class."
        )
        shown = [record for group in groups.values() for record in group]
        exhibits.figure(draw(groups), "runs", caption, alt=_ALT, records=shown)
        return

    def rows() -> list[int]:
        return [n for n, key in enumerate(frame["key"]) if key in picked]

    def compare(_=None) -> None:
        nonlocal picked
        now = list(frame["key"].iloc[list(listed.selected_rows)])
        picked = [key for key in picked if key in now] + [key for key in now if key not in picked]
        page.fill(figure, html)

    def html() -> str:
        chosen = [records[key] for key in picked if key in records]
        groups = by_setting(chosen, records.values() if all_seeds.value else chosen)
        return page.picture(draw(groups), _ALT) if groups else page.sentence("Pick at least one run.")

    def stored() -> None:
        nonlocal frame, records
        frame, records = table(store), {record.key: record for record in store.records()}
        listed.update(frame, selected_rows=rows(), **_TABLE)  # options that are not given would be reset
        compare()

    listed = ITable(frame, selected_rows=rows(), **_TABLE)
    all_seeds = widgets.Checkbox(value=True, description="with all seeds of a setting", indent=False)
    figure = widgets.HTML()
    listed.observe(compare, names="selected_rows")
    all_seeds.observe(compare, names="value")
    compare()
    page.on_stored("runs", stored)
    page.show(listed, all_seeds, figure)


def table(store: Store) -> pd.DataFrame:
    """Return the table's content: a row per stored run, the newest first; accuracies in percent."""
    frame = store.frame()
    if frame.empty:
        return frame
    frame = frame[_COLUMNS].iloc[::-1].reset_index(drop=True)
    for name in ("best_accuracy", "last_accuracy"):
        frame[name] = (100 * frame[name]).round(1)
    frame["beta"] = [f"{value:g}" if pd.notna(value) else "none" for value in frame["beta"]]
    frame["finished"] = frame["finished"].str.replace("T", " ").str.slice(stop=16)
    return frame.rename(columns=_label)


def _label(field: str) -> str:
    return _LABELS.get(field, field.replace("_", " "))


def setting(experiment: Experiment) -> Experiment:
    """Return the experiment without its seed."""
    return experiment.replace(seed=0)


def default_pick(records: Mapping[str, Record]) -> list[str]:
    """Return the keys of the two runs picked at first: cross-entropy and the loss that share the most seeds with it."""
    keys: dict[Experiment, list[str]] = {}
    for key, record in records.items():
        keys.setdefault(setting(record.experiment), []).append(key)
    pairs = [(e.replace(loss="cross_entropy", beta=None), e) for e in keys]
    pairs = [(plain, e) for plain, e in pairs if plain != e and plain in keys]
    if not pairs:
        return list(records)[-2:]
    best = max(pairs, key=lambda pair: (min(len(keys[e]) for e in pair), pair[1].beta or 0))
    return [keys[e][0] for e in best]


def by_setting(picked: Sequence[Record], among: Iterable[Record]) -> dict[str, list[Record]]:
    """Return the runs of the picked settings by a name that tells them apart, in the order they were picked.

    Raises:
        UserError: the settings are too many for one figure, or have different classes.
    """
    settings = list(dict.fromkeys(setting(record.experiment) for record in picked))
    if len(settings) > MOST:
        raise UserError(f"{len(settings)} settings are picked; the figure has room for {MOST}. Pick fewer.")
    if len({data.classes(e.data) for e in settings}) > 1:
        raise UserError("The picked runs have different classes; pick runs on one data set.")
    names = [e.setting for e in settings]
    if len(set(names)) < len(names):
        names = [f"{name}, {apart}" for name, apart in zip(names, _differing(settings), strict=True)]
    groups: dict[Experiment, list[Record]] = {e: [] for e in settings}
    for record in among:
        groups.get(setting(record.experiment), []).append(record)
    return {f"{n}: {name}": group for n, (name, group) in enumerate(zip(names, groups.values(), strict=True), start=1)}


def circumstances(e: Experiment) -> str:
    """Return the settings that a run's title leaves out."""
    tail = "all images" if e.imbalance == "none" else f"{e.imbalance} {e.factor:g}"
    return f"{tail}, {e.epochs} epochs, {details(e)}"


def _differing(settings: Sequence[Experiment]) -> list[str]:
    """Return each setting's values of the fields that differ, apart from those in its title."""
    described = [e.model_dump(exclude={"model", "loss", "beta"}) for e in settings]
    names = [name for name, first in described[0].items() if any(each[name] != first for each in described)]
    return [", ".join(f"{_label(name)} {each[name]}" for name in names) for each in described]


def colours(settings: Sequence[Experiment]) -> list[str]:
    """Return a colour for each; cross-entropy and the first class-balanced loss have theirs from all other figures."""
    own, others = {name: COLOUR[name] for name in ("CE", "class-balanced")}, iter(_OTHERS)
    names = ["class-balanced" if e.beta is not None else e.loss_name for e in settings]
    return [own.pop(name, "") or next(others) for name in names]


@mpl.rc_context(plots.STYLE | {"axes.titlesize": 9, "legend.fontsize": 8})
def draw(groups: Mapping[str, Sequence[Record]]) -> Figure:
    """Draw settings, {name: runs from several seeds}: accuracy by epoch and by class, and differences to the first."""
    first = next(iter(groups.values()))
    base = {r.experiment.seed: r for r in first}
    classes = data.classes(first[0].experiment.data)
    places, count, paired = np.arange(len(classes)), len(groups), False
    figure, (epochs, levels, differences) = plots.subplots(3, 1, height=7.6, height_ratios=(1, 1, 0.9))
    chosen = colours([records[0].experiment for records in groups.values()])
    for n, ((name, records), colour) in enumerate(zip(groups.items(), chosen, strict=True)):
        for record in records:
            label = f"{name} ({len(records)} run{'s' * (len(records) > 1)})" if record is records[0] else None
            line = {"color": colour, "lw": 1.2, "marker": _MARKERS[n], "ms": 3, "label": label}
            epochs.plot([e.epoch for e in record.history], [e.test.accuracy for e in record.history], **line)
        mean, half = mean_interval(per_class(records, "last"))
        bar = {"color": colour, "edgecolor": "white", "lw": 0.5, "hatch": _HATCHES[n]}
        error = {"elinewidth": 1, "capsize": 2}
        x = places + (n - (count - 1) / 2) * 0.8 / count
        levels.bar(x, mean, 0.8 / count, yerr=half, error_kw=error, ecolor="black", **bar)
        shared = [r for r in records if r.experiment.seed in base] if n else []
        if shared:
            paired = True
            other = per_class([base[r.experiment.seed] for r in shared], "last")
            mean, half = mean_interval(100 * (per_class(shared, "last") - other))
            x = places + (n - count / 2) * 0.6 / count
            differences.errorbar(x, mean, half, color=colour, ls="", marker=_MARKERS[n], ms=5, **error)
    epochs.set(title="test accuracy by epoch", xlabel="epoch")
    epochs.xaxis.set_major_locator(MaxNLocator(integer=True))
    levels.set(title="test accuracy by class, last epoch", ylim=(0, 1))
    differences.set(title="difference to 1 by class, last epoch, paired by seed (percentage points)")
    differences.axhline(0, color="black", lw=0.8)
    if not paired:
        reason = "no seed in common, nothing to pair" if count > 1 else "pick another setting to compare"
        differences.text(0.5, 0.6, reason, transform=differences.transAxes, ha="center")
    for each in (levels, differences):
        each.set_xticks(places, classes, fontsize=8)
    for each in (epochs, levels):
        each.yaxis.set_major_formatter(PERCENT)
    figure.legend(*epochs.get_legend_handles_labels(), loc="outside upper center")
    return figure
