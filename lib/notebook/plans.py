"""Experiments of each notebook, from its parameters; several notebooks share some of them."""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from lib.analysis.claims import Evidence, Setting
from lib.analysis.findings import neutral_betas
from lib.analysis.statistics import shared_seeds
from lib.experiment import Experiment
from lib.notebook.session import Notebook, asked_by
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


def beta_sweep(here: Notebook, counts: Sequence[int], **fields: Any) -> dict[Hashable, Experiment]:
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


def closing_table(here: Notebook) -> dict[Hashable, Experiment]:
    """Both rows of the closing table by settings: {(Setting, loss): experiment}."""
    wanted: dict[Hashable, Experiment] = {}
    for rate in here.values["learning_rates"]:
        for size in here.values["batch_sizes"]:
            fields = {"learning_rate": rate, "batch_size": size}
            wanted[Setting(rate, size), CE] = cross_entropy(here, **fields)
            wanted[Setting(rate, size), "CB"] = here.experiment(**fields)
    return wanted


def readings(here: Notebook, convnet: Notebook) -> dict[Hashable, Experiment]:
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


def gammas(here: Notebook) -> dict[Hashable, Experiment]:
    """The class-balanced focal loss by (beta, gamma)."""
    values = here.values
    return {(b, g): here.experiment(beta=b, gamma=g) for b in values["gamma_betas"] for g in values["gammas"]}


def normalisations(here: Notebook) -> dict[Hashable, Experiment]:
    """The class-balanced loss by (beta, normalisation)."""
    values = here.values
    return {
        (b, n): here.experiment(beta=b, normalisation=n)
        for b in values["gamma_betas"]
        for n in values["normalisations"]
    }


def batches_and_losses(here: Notebook) -> dict[Hashable, Experiment]:
    """The class-balanced loss by form and batch size; the first of each is the base."""
    values = here.values
    return {
        f"{loss.replace('_', ' ')}, batch {size}": here.experiment(loss=loss, batch_size=size)
        for loss in values["losses"]
        for size in values["batch_sizes"]
    }


def draws(here: Notebook) -> dict[Hashable, Experiment]:
    """Both losses by draw of the subset: {(subset seed, loss): experiment}."""
    wanted: dict[Hashable, Experiment] = {}
    for draw in here.values["subset_seeds"]:
        wanted[draw, CE] = cross_entropy(here, subset_seed=draw)
        wanted[draw, "CB"] = here.experiment(subset_seed=draw)
    return wanted


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
    swept = sweep.grid(beta_sweep(sweep, counts, validation=0), seeds(sweep))
    table = settings.grid(closing_table(settings), seeds(settings))
    network = settings.grid(readings(settings, asked_by("convnet", profile)), seeds(settings, "reading_repeats"))
    tuned = ablations.grid(gammas(ablations), seeds(ablations))
    first = ablations.values["gamma_betas"][0]
    return Evidence(
        original=original,
        cross_entropy=swept.pop(CE),
        balanced=swept,
        convnet=_by_batch(network),
        gammas={gamma: runs for (beta, gamma), runs in tuned.items() if beta == first},
        gamma_beta=first,
        candidates={setting: (table[setting, CE], table[setting, "CB"]) for setting, loss in table if loss == CE},
    )


def _by_batch(network: Mapping[Hashable, Mapping[int, Record]]) -> dict[int, Mapping[int, Record]]:
    """Return the two readings that differ only in the batch size, by batch size."""
    found = {}
    for name in ("as stated", "batch 128"):
        for record in network.get(name, {}).values():
            found[record.experiment.batch_size] = network[name]
    return found
