"""The runs panel: every stored run in a table, and the picked ones compared."""

from collections.abc import Iterable, Mapping, Sequence

import ipywidgets as widgets
import matplotlib as mpl
import numpy as np
import pandas as pd
from itables.widget import ITable
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from explore import page
from lib import data
from lib.analysis import plots
from lib.analysis.statistics import mean_interval, per_class, welch
from lib.experiment import Experiment
from lib.notebook import exhibits
from lib.runs.store import Store, everything
from lib.system.errors import UserError
from lib.training import Record

MOST = 5  # settings that can be told apart in one figure


def runs() -> None:
    """Show the table of runs, and the picked ones' test accuracy by epoch, by class and relative to the first."""
    store = everything()
    records = {record.key: record for record in store.records()}
    if not records:
        exhibits.text("No run is stored yet. Train one below, or with `make report`, then run this cell again.")
        return
    picked = default_pick(records)  # in the order of the clicks, which the table does not keep

    def fill_table() -> None:
        nonlocal records
        frame, records = table(store), {record.key: record for record in store.records()}
        look = {"select": "multi", "scrollX": True, "pageLength": 8, "showIndex": False}
        look["layout"] = {"topStart": None, "topEnd": "search", "bottomStart": "info", "bottomEnd": "paging"}
        rows = [n for n, key in enumerate(frame["key"]) if key in picked]
        listed.update(frame, selected_rows=rows, maxBytes=0, **look)  # 0: no limit, a long table is shown whole
        compare()

    def compare(_=None) -> None:
        nonlocal picked
        now = list(listed.df["key"].iloc[list(listed.selected_rows)])
        picked = [key for key in picked if key in now] + [key for key in now if key not in picked]
        page.fill(figure, html)

    def html() -> str:
        chosen = [records[key] for key in picked if key in records]
        groups = by_setting(chosen, records.values() if all_seeds.value else chosen)
        alt = (
            "Test accuracy by epoch for each of the picked settings, its last epoch by class, and each difference "
            "to the first by class, with 95 percent intervals for settings with several seeds."
        )
        return page.picture(draw(groups), alt=alt) if groups else page.sentence("Pick at least one run.")

    listed, figure = ITable(), widgets.HTML()
    all_seeds = widgets.Checkbox(value=True, description="with all seeds of a setting", indent=False)
    fill_table()
    listed.observe(compare, names="selected_rows")
    all_seeds.observe(compare, names="value")
    page.on_stored["runs"] = fill_table
    page.show(listed, all_seeds, figure)


def table(store: Store) -> pd.DataFrame:
    """Return the table's content: a row per stored run, the newest first; accuracies in percent."""
    accuracies = ["best_accuracy", "last_accuracy"]
    columns = ["model", "loss", "beta", "gamma", "seed", *accuracies, "data", "imbalance", "factor"]
    columns += ["epochs", "batch_size", "learning_rate", "finished", "key"]
    frame = store.frame()[columns].iloc[::-1].reset_index(drop=True)
    frame[accuracies] = (100 * frame[accuracies]).round(1)
    frame["beta"] = [f"{value:g}" if pd.notna(value) else "none" for value in frame["beta"]]
    frame["finished"] = frame["finished"].str.replace("T", " ").str.slice(stop=16)
    return frame.rename(columns=page.label)


def grouped(records: Iterable[Record]) -> dict[Experiment, list[Record]]:
    """Return runs by setting: the experiment without its seed."""
    groups: dict[Experiment, list[Record]] = {}
    for record in records:
        groups.setdefault(record.experiment.any_seed, []).append(record)
    return groups


def default_pick(records: Mapping[str, Record]) -> list[str]:
    """Return the keys of the two runs picked at first: cross-entropy and the loss that share the most seeds with it."""
    groups = grouped(records.values())
    pairs = [(e.replace(loss="cross_entropy", beta=None), e) for e in groups]
    pairs = [(plain, e) for plain, e in pairs if plain != e and plain in groups]
    if not pairs:
        return list(records)[-2:]
    best = max(pairs, key=lambda pair: (min(len(groups[e]) for e in pair), pair[1].beta or 0))
    return [groups[e][0].key for e in best]


def by_setting(picked: Sequence[Record], among: Iterable[Record]) -> dict[str, list[Record]]:
    """Return the runs of the picked settings by a name that tells them apart, in the order they were picked.

    Raises UserError where the settings are too many for one figure, or have different classes.
    """
    settings, groups = list(grouped(picked)), grouped(among)
    if len(settings) > MOST:
        raise UserError(f"{len(settings)} settings are picked; the figure has room for {MOST}. Pick fewer.")
    if len({data.classes(e.data) for e in settings}) > 1:
        raise UserError("The picked runs have different classes; pick runs on one data set.")
    names = [e.setting for e in settings]
    if len(set(names)) < len(names):
        described = [e.model_dump(exclude={"model", "loss", "beta"}) for e in settings]
        differing = [field for field, value in described[0].items() if any(own[field] != value for own in described)]
        for n, own in enumerate(described):
            names[n] = ", ".join([names[n], *(f"{page.label(field)} {own[field]}" for field in differing)])
    return {f"{n}: {name}": groups[e] for n, (name, e) in enumerate(zip(names, settings, strict=True), start=1)}


def colours(settings: Sequence[Experiment]) -> list[str]:
    """Return a colour for each; cross-entropy and the first class-balanced loss have theirs from all other figures."""
    own = {name: plots.COLOUR[name] for name in ("CE", "class-balanced")}
    others = iter(("#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000"))  # of Okabe and Ito, not in plots.COLOUR
    names = ["class-balanced" if e.beta is not None else e.loss_name for e in settings]
    return [own.pop(name, "") or next(others) for name in names]


@mpl.rc_context(plots.STYLE | {"axes.titlesize": 9, "legend.fontsize": 8})
def draw(groups: Mapping[str, Sequence[Record]]) -> Figure:
    """Draw settings, {name: runs from several seeds}: accuracy by epoch and by class, and differences to the first."""
    first = next(iter(groups.values()))
    classes, width = data.classes(first[0].experiment.data), 0.8 / len(groups)
    figure, (epochs, levels, differences) = plots.subplots(3, 1, height=7.6, height_ratios=(1, 1, 0.9))
    hatches = ("", "///", "...", "xx", "\\\\")
    looks = zip(colours([records[0].experiment for records in groups.values()]), "osD^v", hatches, strict=False)
    for n, ((name, records), (colour, marker, hatch)) in enumerate(zip(groups.items(), looks, strict=True)):
        label = f"{name} ({len(records)} run{'s' * (len(records) > 1)})"
        for record in records:
            line = {"color": colour, "lw": 1.2, "marker": marker, "ms": 3, "label": label}
            epochs.plot([e.epoch for e in record.history], [e.test.accuracy for e in record.history], **line)
            label = ""  # one entry of the legend for all seeds
        places = np.arange(len(classes)) + (n - (len(groups) - 1) / 2) * width
        error = {"elinewidth": 1, "capsize": 2}
        mean, half = mean_interval(per_class(records, "last"))
        bar = {"color": colour, "edgecolor": "white", "lw": 0.5, "hatch": hatch, "ecolor": "black"}
        levels.bar(places, mean, width, yerr=half, error_kw=error, **bar)
        if n:
            gain = welch(100 * per_class(records, "last"), 100 * per_class(first, "last"))
            differences.errorbar(
                places, gain.mean, gain.high - gain.mean, color=colour, ls="", marker=marker, ms=5, **error
            )
    epochs.set(title="test accuracy by epoch", xlabel="epoch")
    epochs.xaxis.set_major_locator(MaxNLocator(integer=True))
    levels.set(title="test accuracy by class, last epoch", ylim=(0, 1))
    differences.set(title="difference to 1 by class, last epoch (percentage points)")
    differences.axhline(0, color="black", lw=0.8)
    if len(groups) == 1:
        text = "pick another setting to compare"
        differences.text(0.5, 0.6, text, transform=differences.transAxes, ha="center")
    for each in (levels, differences):
        each.set_xticks(range(len(classes)), classes, fontsize=8)
    for each in (epochs, levels):
        each.yaxis.set_major_formatter(plots.PERCENT)
    figure.legend(*epochs.get_legend_handles_labels(), loc="outside upper center")
    return figure
