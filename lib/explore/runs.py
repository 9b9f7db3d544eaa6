"""Every stored run in a table; those that are picked beside each other."""

from collections.abc import Mapping, Sequence

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lib.analysis.naming import details
from lib.analysis.plots import COLOUR, PERCENT, STYLE, WIDTH
from lib.analysis.statistics import mean_interval, paired_difference
from lib.data import CLASS_NAMES
from lib.experiment import Experiment
from lib.notebook import exhibits
from lib.notebook.session import Notebook
from lib.runs.store import Store, everything
from lib.training import Record

MOST = 5  # settings that are told apart at a glance
_OTHERS = ("#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")  # what Okabe-Ito has beside figures.COLOUR
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
    "seed": "seed",
    "best_accuracy": "best epoch (%)",
    "last_accuracy": "last epoch (%)",
    "data": "data",
    "imbalance": "imbalance",
    "factor": "factor",
    "epochs": "epochs",
    "batch_size": "batch",
    "learning_rate": "rate",
    "finished": "finished",
    "key": "key",
}


def runs(here: Notebook) -> None:
    """Filter the table and pick two runs or more; see their curves, classes and differences."""
    store = everything()
    frame = table(store)
    if frame.empty:
        exhibits.text("No run is stored yet. Train one below, or with `make report`, then run this again.")
        return
    records = {record.key: record for record in store.records()}
    first = default_pick(records)
    if here.headless:
        groups = by_setting([records[key] for key in first], records.values())
        caption = (
            "The settings that are picked at first: test accuracy by epoch, a line per run; by class at the last "
            "epoch, with 95 % intervals over seeds; and the differences by class."
        )
        shown = [record for group in groups.values() for record in group]
        exhibits.figure(draw(groups), "runs", caption, alt=_ALT, records=shown)
        return
    import ipywidgets as widgets
    from itables.widget import ITable

    from lib.explore.page import picture, row, sentence, show, when_stored

    picked = first  # in the order of the clicks, which the table does not tell

    def rows() -> list[int]:
        return [n for n, key in enumerate(frame["key"]) if key in picked]

    options = {"select": "multi", "scrollX": True, "pageLength": 8, "showIndex": False}
    options["maxBytes"] = 0  # a long table is shown whole
    options["layout"] = {"topStart": None, "topEnd": "search", "bottomStart": "info", "bottomEnd": "paging"}
    listed = ITable(frame, selected_rows=rows(), **options)
    all_seeds = widgets.Checkbox(value=True, description="with all seeds of a setting", indent=False)
    shown = widgets.HTML()

    def stored() -> None:
        nonlocal frame, records
        frame, records = table(store), {record.key: record for record in store.records()}
        listed.update(frame, selected_rows=rows(), **options)  # what is left out is chosen anew
        again()

    def again(_=None) -> None:
        nonlocal picked
        now = list(frame["key"].iloc[list(listed.selected_rows)])
        picked = [key for key in picked if key in now] + [key for key in now if key not in picked]
        chosen = [records[key] for key in picked if key in records]
        groups = by_setting(chosen, records.values() if all_seeds.value else chosen)
        if not groups:
            shown.value = sentence("Pick at least one run.")
        elif len(groups) > MOST:
            shown.value = sentence(f"{len(groups)} settings are picked; at most {MOST} can be told apart.", bad=True)
        else:
            shown.value = picture(draw(groups), _ALT)

    listed.observe(again, names="selected_rows")
    all_seeds.observe(again, names="value")
    again()
    when_stored("runs", stored)
    show(listed, row(all_seeds), shown)


def table(store: Store) -> pd.DataFrame:
    """What the table shows: a row per stored run, the newest first; accuracies in percent."""
    frame = store.frame()
    if frame.empty:
        return frame
    frame = frame[list(_COLUMNS)].iloc[::-1].reset_index(drop=True)
    for name in ("best_accuracy", "last_accuracy"):
        frame[name] = (100 * frame[name]).round(1)
    frame["beta"] = [f"{value:g}" if pd.notna(value) else "none" for value in frame["beta"]]
    frame["finished"] = frame["finished"].str.replace("T", " ").str.slice(stop=16)
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
    named = [e.setting for e in settings]
    if len(set(named)) < len(settings):
        named = [f"{e.setting}, {apart}" for e, apart in zip(settings, _differing(settings), strict=True)]
    found: dict[str, list[Record]] = {f"{n}: {name}": [] for n, name in enumerate(named, start=1)}
    place = dict(zip(settings, found.values(), strict=True))
    for record in among:
        place.get(setting(record.experiment), []).append(record)
    return found


def circumstances(e: Experiment) -> str:
    """What a run's title leaves out."""
    tail = "all images" if e.imbalance == "none" else f"{e.imbalance} {e.factor:g}"
    return f"{tail}, {e.epochs} epochs, {details(e)}"


def _differing(settings: Sequence[Experiment]) -> list[str]:
    """Of each setting what the others have otherwise, beside what its title says."""
    described = [e.model_dump(exclude={"model", "loss", "beta"}) for e in settings]
    names = [name for name, first in described[0].items() if any(each[name] != first for each in described)]
    return [", ".join(f"{_COLUMNS.get(n, n.replace('_', ' '))} {each[n]}" for n in names) for each in described]


def colours(settings: Sequence[Experiment]) -> list[str]:
    """A colour for each: cross-entropy and the first class-balanced loss have theirs of every other figure."""
    found: dict[int, str] = {}
    for n, e in enumerate(settings):
        own = COLOUR["class-balanced"] if e.beta is not None else COLOUR["CE"] if e.loss_name == "CE" else ""
        if own and own not in found.values():
            found[n] = own
    others = iter(_OTHERS)
    return [found.get(n) or next(others) for n in range(len(settings))]


def draw(groups: Mapping[str, Sequence[Record]]) -> Figure:
    """Curves, classes and differences of some settings: {name: runs from several seeds}."""
    with mpl.rc_context(STYLE):
        figure, axes = plt.subplots(3, 1, figsize=(WIDTH, 7.6), layout="constrained", height_ratios=(1, 1, 0.9))
        curves, classes, differences = axes
        base = {r.experiment.seed: r for r in next(iter(groups.values()))}
        chosen = colours([records[0].experiment for records in groups.values()])
        paired = []
        for n, ((name, records), colour) in enumerate(zip(groups.items(), chosen, strict=True)):
            for record in records:
                line = [e.test.accuracy for e in record.history]
                label = f"{name} ({len(records)} run{'s' * (len(records) > 1)})" if record is records[0] else None
                x = range(1, len(line) + 1)
                curves.plot(x, line, color=colour, lw=1.2, marker=_MARKERS[n], ms=3, label=label)
            _bars(classes, n, len(groups), np.array([r.last.test.per_class for r in records]), colour)
            if n:
                paired.append(_differences(differences, n, len(groups), base, records, colour))
        curves.set(title="test accuracy by epoch", xlabel="epoch")
        curves.xaxis.set_major_locator(MaxNLocator(integer=True))
        classes.set(title="test accuracy by class, last epoch", ylim=(0, 1))
        differences.set(title="difference to 1 by class, last epoch, paired by seed (percentage points)")
        differences.axhline(0, color="black", lw=0.8)
        if not any(paired):
            remedy = "no seed in common, nothing to pair" if paired else "pick another setting to compare"
            differences.text(0.5, 0.6, remedy, transform=differences.transAxes, ha="center")
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


def _differences(axes, n: int, groups: int, base: Mapping[int, Record], records: Sequence[Record], colour: str) -> bool:
    """Draw them where there are seeds in common; whether there are."""
    shared = [(r.last.test, base[r.experiment.seed].last.test) for r in records if r.experiment.seed in base]
    if not shared:
        return False
    pairs = [(a.per_class, b.per_class) for a, b in shared]
    found = [paired_difference([a[k] for a, _ in pairs], [b[k] for _, b in pairs]) for k in range(len(CLASS_NAMES))]
    x = np.arange(len(found)) + (n - groups / 2) * 0.6 / groups
    mean = 100 * np.array([d.mean for d in found])
    axes.plot(x, mean, ls="", marker=_MARKERS[n], ms=5, color=colour)
    if not np.isnan(found[0].low):
        low, high = (100 * np.array([getattr(d, end) for d in found]) for end in ("low", "high"))
        axes.errorbar(x, mean, (mean - low, high - mean), fmt="none", ecolor=colour, elinewidth=1, capsize=2)
    return True
