"""Experiments of each notebook, from its parameters; several notebooks share some of them."""

from collections.abc import Hashable, Mapping, Sequence
from itertools import product
from typing import Any

from lib.analysis.claims import Evidence, Setting
from lib.analysis.findings import neutral_betas
from lib.analysis.statistics import shared_seeds
from lib.experiment import Experiment
from lib.notebook.session import Notebook, Wanted, asked_by
from lib.system.errors import UserError
from lib.training import Record

CE = "CE"
#: Seeds that make an interval worth showing.
_ENOUGH = 3
#: Readings of the write-up's first part, as changes to its settings; `steps` are shares of the epochs.
READINGS: dict[str, dict[str, Any]] = {
    "as stated": {},
    "batch 128": {"batch_size": 128},
    "no augmentation": {"augmentation": False},
    "no ReLU between the linear layers": {"model": "ConvNet-linear"},
    "steps at 60 and 80 % of the epochs": {"steps": (0.6, 0.8)},
    "constant rate": {"steps": ()},
    "bfloat16": {"precision": "bfloat16"},
}


def beta_sweep(here: Notebook, counts: Sequence[int], **fields: Any) -> Wanted:
    """Cross-entropy, and the class-balanced loss by beta.

    Betas whose weights are all exactly 1 are one experiment, that of the first of them.

    Args:
        counts: training images per class.
        fields: of every experiment, over the parameters.
    """
    betas = here.values["betas"]
    same = neutral_betas(counts, betas)
    balanced = {b: here.experiment(beta=same[0] if b in same else b, **fields) for b in betas}
    return {CE: cross_entropy(here, **fields), **balanced}


def cross_entropy(here: Notebook, **fields: Any) -> Experiment:
    """Plain cross-entropy, all else as in the parameters."""
    return here.experiment(**{"loss": "cross_entropy", "beta": None, **fields})


def closing_table(here: Notebook) -> Wanted:
    """Both rows of the closing table by settings: {(Setting, loss): experiment}."""
    pairs = product(here.values["learning_rates"], here.values["batch_sizes"])
    return _both(here, {Setting(rate, size): {"learning_rate": rate, "batch_size": size} for rate, size in pairs})


def draws(here: Notebook) -> Wanted:
    """Both losses by draw of the subset: {(subset seed, loss): experiment}."""
    return _both(here, {draw: {"subset_seed": draw} for draw in here.values["subset_seeds"]})


def _both(here: Notebook, settings: Mapping[Hashable, dict[str, Any]]) -> Wanted:
    pairs = {name: (cross_entropy(here, **own), here.experiment(**own)) for name, own in settings.items()}
    return {(name, loss): e for name, pair in pairs.items() for loss, e in zip((CE, "CB"), pair, strict=True)}


def readings(here: Notebook, convnet: Notebook) -> Wanted:
    """The ConvNet by reading of the write-up; `convnet` holds the settings that are varied.

    Raises:
        UserError: a name that is not in READINGS.
    """
    base, wanted = convnet.experiment(model="ConvNet"), {}
    for name in here.values["readings"]:
        if name not in READINGS:
            raise UserError(f"There is no reading {name!r}; known ones: {', '.join(READINGS)}.")
        changes = dict(READINGS[name])
        if "steps" in changes:
            changes["steps"] = tuple(round(share * base.epochs) for share in changes["steps"])
        wanted[name] = base.replace(**changes)
    return wanted


def gammas(here: Notebook) -> Wanted:
    """The class-balanced focal loss by (beta, gamma)."""
    pairs = product(here.values["gamma_betas"], here.values["gammas"])
    return {(beta, gamma): here.experiment(beta=beta, gamma=gamma) for beta, gamma in pairs}


def normalisations(here: Notebook) -> Wanted:
    """The class-balanced loss by (beta, normalisation)."""
    pairs = product(here.values["gamma_betas"], here.values["normalisations"])
    return {(beta, by): here.experiment(beta=beta, normalisation=by) for beta, by in pairs}


def batches_and_losses(here: Notebook) -> Wanted:
    """The class-balanced loss by form and batch size; the first of each is the base."""
    pairs = product(here.values["losses"], here.values["batch_sizes"])
    return {f"{e.replace('_', ' ')}, batch {n}": here.experiment(loss=e, batch_size=n) for e, n in pairs}


def seeds(here: Notebook, repeats: str = "repeats") -> range:
    """Return the seeds of a notebook's parameters."""
    return range(here.values["seed"], here.values["seed"] + here.values[repeats])


def common_seeds(runs: Mapping[Hashable, Mapping[int, Record]], least: int) -> tuple[list[int], list[Hashable]]:
    """Seeds that settings share with cross-entropy, and these settings.

    These are all settings with enough seeds for an interval, and the seeds that they share; if that leaves too few
    seeds, the largest number of runs instead (lib.analysis.statistics.shared_seeds).

    Raises:
        UserError: cross-entropy and no beta share at least so many seeds.
    """
    shared = {name: by_seed.keys() & runs[CE].keys() for name, by_seed in runs.items()}
    enough = max(least, min(_ENOUGH, max((len(seeds) for name, seeds in shared.items() if name != CE), default=0)))
    settings = [name for name, seeds in shared.items() if len(seeds) >= enough]
    seeds = sorted(set.intersection(*(set(shared[name]) for name in settings))) if settings else []
    if len(seeds) < enough:
        seeds, settings = shared_seeds(runs, CE, least)
    if len(settings) < 2 or len(seeds) < least:
        raise UserError(
            f"Not run yet: cross-entropy and a beta from {least} seeds that they share. Train them with the parameter "
            "runs=train."
        )
    return seeds, settings


def evidence(profile: str, counts: Sequence[int], original: Mapping[str, Any]) -> Evidence:
    """Return the stored runs that the claims are tested on."""
    sweep, settings, ablations = (asked_by(name, profile) for name in ("beta_sweep", "settings", "ablations"))
    # The runs on the whole training set: those with a split held out only choose beta.
    swept = sweep.stored(beta_sweep(sweep, counts, validation=0), seeds(sweep))
    table = settings.stored(closing_table(settings), seeds(settings))
    wanted = readings(settings, asked_by("convnet", profile))
    network = settings.stored(wanted, seeds(settings, "reading_repeats"))
    tuned = ablations.stored(gammas(ablations), seeds(ablations))
    first = ablations.values["gamma_betas"][0]
    by_batch = [name for name in ("as stated", "batch 128") if network.get(name)]  # they differ in nothing else
    return Evidence(
        original=original,
        cross_entropy=swept.pop(CE),
        balanced=swept,
        convnet={wanted[name].batch_size: network[name] for name in by_batch},
        gammas={gamma: runs for (beta, gamma), runs in tuned.items() if beta == first},
        gamma_beta=first,
        candidates={setting: (table[setting, CE], table[setting, "CB"]) for setting, loss in table if loss == CE},
    )
