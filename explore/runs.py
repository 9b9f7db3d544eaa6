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
from lib.losses import LOSSES
from lib.notebook import exhibits
from lib.runs.store import Store, everything
from lib.system.errors import UserError
from lib.training import Record

MOST = 5  # settings that can be told apart in one figure
Groups = Mapping[str, Sequence[Record]]  # runs by the name of their setting
#: Fields of a method with their values in cross-entropy; the name of a setting says them, but for the numbers of some.
_CE = {"loss": "cross_entropy", "beta": None, "tau": 0, "sampling": "images", "mixup": 0, "retrain": False}
_ALT = (
    "Test accuracy by epoch for each of the picked settings, its last epoch by class, and each difference "
    "to the chosen setting by class, with 95 percent intervals for settings with several seeds."
)
#: Of the table. Its headings sort and filter; buttons show and hide columns, and save the rows that are shown.
_TABLE = {"select": "multi", "scrollX": True, "pageLength": 8, "showIndex": False, "maxBytes": 0}
_TABLE |= {"columnControl": ["order", ["search"]], "ordering": {"indicators": False, "handler": True}}
_TABLE["layout"] = {
    "topStart": {
        "buttons": [
            {"extend": "colvis", "text": "Columns"},
            {"extend": "csvHtml5", "filename": "runs", "footer": False},
        ]
    },
    "topEnd": "search",
    "bottomStart": "info",
    "bottomEnd": "paging",
}


def runs() -> None:
    """Show the table of runs, and the picked ones' test accuracy by epoch, by class and relative to one of them."""
    store = everything()
    records = {record.key: record for record in store.records()}
    if not records:
        exhibits.text("No run is stored yet. Train one below, or with `make report`, then run this cell again.")
        return
    picked = default_pick(records)  # in the order of the clicks, which the table does not keep

    def fill_table() -> None:
        nonlocal records
        records, frame = {record.key: record for record in store.records()}, table(store)
        frame = frame.sort_values("key", key=lambda keys: ~keys.isin(picked), kind="stable", ignore_index=True)
        further = [*range(frame.columns.get_loc("key") + 1, len(frame.columns))]
        hidden = [{"targets": further, "visible": False}]  # until a person chooses them in Columns
        listed.update(frame, selected_rows=rows_of(picked, frame), columnDefs=hidden, **_TABLE)
        change()

    def pick(keys: Sequence[str]) -> None:
        listed.selected_rows = rows_of(keys, listed.df)

    def change(_=None) -> None:
        nonlocal picked
        now = list(listed.df["key"].iloc[list(listed.selected_rows)])
        picked = [key for key in picked if key in now] + [key for key in now if key not in picked]
        settings, before = list(grouped(chosen())), base.value
        base.unobserve(compare, names="value")  # new options choose the first of them
        base.options = [*zip(names(settings), settings, strict=True)]
        base.value = before if before in settings else next(iter(settings), None)
        base.observe(compare, names="value")
        chips.children = [*([clear] if settings else []), *map(chip, names(settings), settings)]
        compare()

    def chosen() -> list[Record]:
        return [records[key] for key in picked if key in records]

    def chip(name: str, setting: Experiment) -> widgets.Button:
        button = widgets.Button(description=f"✕ {name}", tooltip=f"Remove {name}", layout={"width": "auto"})
        button.on_click(lambda _: pick([r.key for r in chosen() if r.experiment.any_seed != setting]))
        return button

    def compare(_=None) -> None:
        page.fill(figure, html, spoken)

    def html() -> str:
        groups = by_setting(chosen(), records.values() if all_seeds.value else chosen())
        if not groups:
            return page.sentence("Pick at least one run: click its row, or press Enter on it.")
        first = next(name for name, runs in groups.items() if runs[0].experiment.any_seed == base.value)
        saved = page.download("Save these curves as CSV", "curves.csv", curves(groups).to_csv(index=False))
        return page.picture(draw(groups, first), apart(groups, first), alt=_ALT) + saved

    listed, figure, chips = ITable(), widgets.HTML(), widgets.Box(layout=page.WRAPPED)
    spoken = page.unseen()
    base = widgets.Dropdown(description="compare with", **page.WIDE)
    base.observe(compare, names="value")
    clear = widgets.Button(description="Clear", tooltip="Remove every picked run", layout={"width": "auto"})
    clear.on_click(lambda _: pick([]))
    all_seeds = widgets.Checkbox(value=True, description="with all seeds of a setting", indent=False)
    fill_table()
    listed.observe(change, names="selected_rows")
    all_seeds.observe(compare, names="value")
    page.on_stored["runs"] = fill_table
    page.show(chips, listed, base, all_seeds, figure, spoken)


def table(store: Store) -> pd.DataFrame:
    """Return the table's content: a row per stored run, the newest first; accuracies in percent.

    After the key stand all further settings in which runs differ.
    """
    frame, accuracies = store.frame().iloc[::-1].reset_index(drop=True), ["best_accuracy", "last_accuracy"]
    columns = ["model", "method", "beta", "gamma", "seed", *accuracies, "data", "imbalance", "factor"]
    columns += ["epochs", "batch_size", "learning_rate", "finished", "key"]
    further = [
        name for name in Experiment.model_fields if name not in columns and frame[name].astype(str).nunique() > 1
    ]
    frame = frame[columns + further].copy()
    frame[accuracies] = (100 * frame[accuracies]).round(1)
    frame["beta"] = frame["beta"].astype(object).where(frame["beta"].notna(), "none")
    for name in ("beta", "gamma", "factor", "learning_rate", *further):  # as texts: a small rate would be rounded to 0
        frame[name] = frame[name].map(page.number)
    frame["finished"] = frame["finished"].str.replace("T", " ").str.slice(stop=16)
    return frame.rename(columns=page.label)


def rows_of(keys: Sequence[str], frame: pd.DataFrame) -> list[int]:
    """Return the positions of runs in the table."""
    return [n for n, key in enumerate(frame["key"]) if key in keys]


def grouped(records: Iterable[Record]) -> dict[Experiment, list[Record]]:
    """Return runs by setting: the experiment without its seed."""
    groups: dict[Experiment, list[Record]] = {}
    for record in records:
        groups.setdefault(record.experiment.any_seed, []).append(record)
    return groups


def default_pick(records: Mapping[str, Record]) -> list[str]:
    """Return the keys of the two runs picked at first: cross-entropy and the method that shares most seeds with it."""
    groups = grouped(records.values())
    pairs = [(e.replace(**_CE, epochs=e.scheduled), e) for e in groups]
    pairs = [(plain, e) for plain, e in pairs if plain != e and plain in groups]
    if not pairs:
        return list(records)[-2:]
    best = max(pairs, key=lambda pair: (min(len(groups[e]) for e in pair), pair[1].beta or 0))
    return [groups[e][0].key for e in best]


def names(settings: Sequence[Experiment]) -> list[str]:
    """Name settings by number, model, method, data and imbalance, and by whatever else differs among them.

    Fields of the method are told where settings with the same method and model differ in them.
    """
    said = {"model", "loss", "beta", "data", "imbalance", "factor"}
    described = [e.model_dump(mode="json", exclude=said) for e in settings]
    found = []
    for n, (e, own) in enumerate(zip(settings, described, strict=True), start=1):
        images = "all images" if e.imbalance == "none" else f"{e.imbalance} {e.factor:g}"
        alike = [other for s, other in zip(settings, described, strict=True) if s.setting == e.setting]
        among = {field: alike if field in {*_CE, "deferred"} else described for field in own}
        more = [field for field in own if len({str(other[field]) for other in among[field]}) > 1]
        more = [field for field in more if field != "gamma" or LOSSES[e.loss].has_gamma]
        values = [f"{page.label(field)} {page.number(own[field])}" for field in more]
        found.append(", ".join([f"{n}: {e.setting}", e.data, images, *values]))
    return found


def by_setting(picked: Sequence[Record], among: Iterable[Record]) -> dict[str, list[Record]]:
    """Return the runs of the picked settings by `names`, in the order they were picked.

    Raises UserError where the settings are too many for one figure, or have different classes.
    """
    settings, groups = list(grouped(picked)), grouped(among)
    if len(settings) > MOST:
        raise UserError(f"{len(settings)} settings are picked; the figure has room for {MOST}. Remove some.")
    if len({data.classes(e.data) for e in settings}) > 1:
        raise UserError("The picked runs have different classes; pick runs on one data set.")
    return {name: groups[e] for name, e in zip(names(settings), settings, strict=True)}


def comparable(groups: Groups, first: str) -> list[str]:
    """Return the names of the settings that were tested on the same images as `first`."""
    return [name for name, runs in groups.items() if runs[0].experiment.data == groups[first][0].experiment.data]


def apart(groups: Groups, first: str) -> str:
    """Name the settings that are not subtracted from `first`, with the reason, as a sentence; "" where all are."""
    other = [name for name in groups if name not in comparable(groups, first)]
    said = "was" if len(other) == 1 else "were"
    why = f"{said} tested on other images than {first}: a difference would come from the images too, and none is drawn."
    return f"{'; '.join(other)} {why}" if other else ""


def curves(groups: Groups) -> pd.DataFrame:
    """Return the epochs of runs as one table: setting, seed, key, and the columns of `Record.frame`."""
    runs = [(name, run) for name, runs in groups.items() for run in runs]
    about = [{"setting": name, "seed": run.experiment.seed, "key": run.key} for name, run in runs]
    frames = [run.frame().reset_index().assign(**own) for own, (_, run) in zip(about, runs, strict=True)]
    return pd.concat([frame[[*about[0], *frame.columns.difference([*about[0]], sort=False)]] for frame in frames])


@mpl.rc_context(plots.STYLE | {"axes.titlesize": 9, "legend.fontsize": 8})
def draw(groups: Groups, first: str) -> Figure:
    """Draw accuracy by epoch and by class, and by class the differences of settings to the `first`."""
    classes, width = data.classes(groups[first][0].experiment.data), 0.8 / len(groups)
    figure, (epochs, levels, differences) = plots.subplots(3, 1, height=7.6, height_ratios=(1, 1, 0.9))
    colours = plots.colours([runs[0].experiment for runs in groups.values()])
    looks = zip(colours, "osD^v", ("", "///", "...", "xx", "\\\\"), strict=False)
    for n, ((name, runs), (colour, marker, hatch)) in enumerate(zip(groups.items(), looks, strict=True)):
        label = f"{name} ({len(runs)} run{'s' * (len(runs) > 1)})"
        for run in runs:
            line = {"color": colour, "lw": 1.2, "marker": marker, "ms": 3, "label": label}
            epochs.plot([e.epoch for e in run.history], [e.test.accuracy for e in run.history], **line)
            label = ""  # one entry of the legend for all seeds
        places = np.arange(len(classes)) + (n - (len(groups) - 1) / 2) * width
        error = {"elinewidth": 1, "capsize": 2}
        mean, half = mean_interval(per_class(runs, "last"))
        bar = {"color": colour, "edgecolor": "white", "lw": 0.5, "hatch": hatch, "ecolor": "black"}
        levels.bar(places, mean, width, yerr=half, error_kw=error, **bar)
        if name != first and name in comparable(groups, first):
            gain = welch(100 * per_class(runs, "last"), 100 * per_class(groups[first], "last"))
            differences.errorbar(
                places, gain.mean, gain.high - gain.mean, color=colour, ls="", marker=marker, ms=5, **error
            )
    epochs.set(title="test accuracy by epoch", xlabel="epoch")
    epochs.xaxis.set_major_locator(MaxNLocator(integer=True))
    levels.set(title="test accuracy by class, last epoch", ylim=(0, 1))
    differences.set(title=f"difference to {first.partition(':')[0]} by class, last epoch (percentage points)")
    differences.axhline(0, color="black", lw=0.8)
    if len(comparable(groups, first)) == 1:
        text = "pick another setting to compare"
        differences.text(0.5, 0.6, text, transform=differences.transAxes, ha="center")
    for each in (levels, differences):
        each.set_xticks(range(len(classes)), classes, fontsize=8)
    for each in (epochs, levels):
        each.yaxis.set_major_formatter(plots.PERCENT)
    figure.legend(*epochs.get_legend_handles_labels(), loc="outside upper center")
    return figure
