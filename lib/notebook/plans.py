"""Experiments of each notebook, from its parameters; several notebooks share some of them."""

from collections.abc import Hashable, Mapping, Sequence
from itertools import product
from typing import Any

from lib.analysis.claims import Evidence, Setting
from lib.analysis.findings import neutral_betas
from lib.analysis.statistics import shared_seeds
from lib.experiment import Experiment
from lib.notebook.parameters import FIELDS, READINGS
from lib.notebook.session import Notebook, Wanted, asked_by
from lib.system.errors import UserError
from lib.training import Record

CE = "CE"


def beta_sweep(here: Notebook, counts: Sequence[int], **fields: Any) -> Wanted:
    """Cross-entropy, and the class-balanced loss by beta; betas whose class weights are all exactly 1 share a run."""
    betas = here.values["betas"]
    same = neutral_betas(counts, betas)
    balanced = {b: here.experiment(beta=same[0] if b in same else b, **fields) for b in betas}
    return {CE: cross_entropy(here, **fields), **balanced}


def cross_entropy(here: Notebook, **fields: Any) -> Experiment:
    """Plain cross-entropy, all else as in the parameters."""
    return here.experiment(**{"loss": "cross_entropy", "beta": None, **fields})


def by(here: Notebook, *lists: str, **fields: Any) -> Wanted:
    """Experiments by the values of parameters that are lists: {(value of the first list, ...): experiment}."""
    names, combinations = [FIELDS[name] for name in lists], product(*(here.values[name] for name in lists))
    return {values: here.experiment(**dict(zip(names, values, strict=True)), **fields) for values in combinations}


def both_losses(here: Notebook, *lists: str) -> Wanted:
    """Cross-entropy and the class-balanced loss as `by`: {(value of the first list, ..., loss): experiment}."""
    losses = {CE: by(here, *lists, loss="cross_entropy", beta=None), "CB": by(here, *lists)}
    return {(*values, name): losses[name][values] for values in losses[CE] for name in losses}


def closing_table(here: Notebook) -> Wanted:
    """Both rows of the closing table by settings: {(Setting, loss): experiment}."""
    wanted = both_losses(here, "learning_rates", "batch_sizes")
    return {(Setting(rate, size), loss): experiment for (rate, size, loss), experiment in wanted.items()}


def readings(here: Notebook, convnet: Notebook) -> Wanted:
    """The ConvNet by reading of the write-up, each in READINGS; `convnet` holds the settings that are varied."""
    base, wanted = convnet.experiment(model="ConvNet"), {}
    for name in here.values["readings"]:
        changes = dict(READINGS[name])
        if "steps" in changes:
            changes["steps"] = tuple(round(share * base.epochs) for share in changes["steps"])
        wanted[name] = base.replace(**changes)
    return wanted


def seeds(here: Notebook, repeats: str = "repeats") -> range:
    """Return the seeds of a notebook's parameters."""
    return range(here.values["seed"], here.values["seed"] + here.values[repeats])


def common_seeds(runs: Mapping[Hashable, Mapping[int, Record]], least: int) -> tuple[list[int], list[Hashable]]:
    """Seeds that settings share with cross-entropy, and these settings.

    These are all settings with enough seeds for an interval, and the seeds that they share; if that leaves too few
    seeds, the largest number of runs instead (lib.analysis.statistics.shared_seeds). Raises UserError where
    cross-entropy and no beta share at least so many seeds.
    """
    shared = {name: by_seed.keys() & runs[CE].keys() for name, by_seed in runs.items()}
    most = max((len(seeds) for name, seeds in shared.items() if name != CE), default=0)
    enough = max(least, min(3, most))  # three make an interval worth showing
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
    tuned = ablations.stored(by(ablations, "gamma_betas", "gammas"), seeds(ablations))
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
