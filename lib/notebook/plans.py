"""Experiments of each notebook, from its parameters; several notebooks share some of them."""

from collections.abc import Hashable, Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np

from lib.analysis.balancing import neutral_betas
from lib.analysis.claims import Evidence, Setting
from lib.analysis.methods import experiments
from lib.experiment import Experiment
from lib.losses import class_balanced_weights
from lib.notebook import parameters
from lib.notebook.parameters import EXACT, FIELDS, READINGS, of_profile
from lib.notebook.session import Found, Notebook, Wanted, asked_by
from lib.system import paths

CE = "CE"
#: Words for parameters by which a profile departs from the original; others go by their name.
_WORDS = {"dataset": "the data set {}", "model": "the {}", "imbalance": "{} imbalance", "factor": "factor {}"}
_WORDS |= {"subset_seed": "draw {}", "epochs": "{} epochs"}
_FIRST = 3  # departures that a sentence names


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


def by_gamma(here: Notebook) -> Wanted:
    """The class-balanced loss by beta and gamma: {(beta, gamma): experiment}."""
    return {(beta, gamma): here.experiment(beta=beta, gamma=gamma) for beta, gamma in here.values["gammas"]}


def both_losses(here: Notebook, *lists: str) -> Wanted:
    """Cross-entropy and the class-balanced loss as `by`: {(value of the first list, ..., loss): experiment}."""
    losses = {CE: by(here, *lists, loss="cross_entropy", beta=None), "CB": by(here, *lists)}
    return {(*values, name): losses[name][values] for values in losses[CE] for name in losses}


def closing_table(here: Notebook) -> Wanted:
    """Both rows of the closing table by settings: {(Setting, loss): experiment}."""
    wanted: dict[Hashable, Experiment] = {}
    for rate, size, draw in here.values["candidates"]:
        setting = Setting(float(rate), int(size), int(draw))
        fields = {"learning_rate": rate, "batch_size": size, "subset_seed": draw}
        wanted[setting, CE] = cross_entropy(here, **fields)
        wanted[setting, "CB"] = here.experiment(**fields)
    return wanted


def forms(here: Notebook) -> dict[str, Experiment]:
    """The balanced loss by form of the focal loss and batch size, under the names of a table's rows."""
    found = by(here, "losses", "batch_sizes")
    return {f"{form.replace('_', ' ')}, batch {size}": e for (form, size), e in found.items()}


def readings(here: Notebook, convnet: Notebook) -> Wanted:
    """The ConvNet by reading of the write-up, each in READINGS; `convnet` holds the settings that are varied."""
    base, wanted = convnet.experiment(model="ConvNet"), {}
    for name in here.values["readings"]:
        changes = dict(READINGS[name])
        if "steps" in changes:
            changes["steps"] = tuple(round(share * base.epochs) for share in changes["steps"])
        wanted[name] = base.replace(**changes)
    return wanted


def rescaled(here: Notebook, counts: Sequence[int]) -> Wanted:
    """The balanced loss at the notebook's beta, and at others in three forms, under the names of a table's rows.

    Divided by the number of images; by the sum of their weights; and by their number with the learning rate divided by
    the mean weight of a training image, so that the mean step is that without weights.
    """
    wanted: dict[Hashable, Experiment] = {f"β = {here.values['beta']:g}": here.experiment()}
    for beta in here.values["rescaled_betas"]:
        mean_weight = np.average(class_balanced_weights(counts, beta), weights=counts)
        rate = round(here.values["learning_rate"] / float(mean_weight), 4)
        wanted[f"β = {beta:g}, by count"] = here.experiment(beta=beta)
        wanted[f"β = {beta:g}, by weights"] = here.experiment(beta=beta, normalisation="weights")
        if rate != here.values["learning_rate"]:  # where weights are near 1 it is the first form again
            wanted[f"β = {beta:g}, by count, rescaled rate"] = here.experiment(beta=beta, learning_rate=rate)
    return wanted


def methods(here: Notebook, shorter: int = 1) -> dict[str, Experiment]:
    """Long-tail methods by name, as `lib.analysis.methods.experiments` of the notebook's parameters."""
    return experiments(here.values, shorter)


def seeds(here: Notebook, repeats: str = "repeats", first: str = "seed") -> range:
    """Return the seeds of a notebook's parameters."""
    return range(here.values[first], here.values[first] + here.values[repeats])


def fresh_seeds(here: Notebook) -> range:
    """Return the seeds of the runs that confirm the sweep."""
    return seeds(here, "confirm_repeats", "confirm_seed")


def counted_as_fresh(here: Notebook) -> range:
    """Return the seeds of kept runs that take no part in the choice of beta: all from the first fresh one on."""
    return range(here.values["confirm_seed"], 2**32) if here.values["confirm_repeats"] else range(0)


def confirmation(here: Notebook, counts: Sequence[int], **fields: Any) -> Wanted:
    """The settings of the sweep that are confirmed on fresh seeds: cross-entropy and some betas."""
    wanted = beta_sweep(here, counts, **fields)
    return {name: wanted[name] for name in (CE, *here.values["confirm_betas"]) if name in wanted}


def joined(first: Found, more: Found) -> Found:
    """Return runs by setting and seed, those of `first` with more seeds of the same settings."""
    return {name: {**runs, **more.get(name, {})} for name, runs in first.items()}


def departure(here: Notebook, name: str = "beta_sweep") -> str:
    """Return how a notebook departs from the original, which the write-up's `name` is, as half a sentence, or ""."""
    if not (paths.PARAMS / EXACT[name]).is_dir():  # a person's own folder of parameter files
        return ""
    exact, own = of_profile(EXACT[name], name), here.values
    counted = set(parameters.departing(own, exact)) - {"betas", "seed", "baseline_epochs"}
    changed = [key for key in [*_WORDS, *sorted(counted - _WORDS.keys())] if key in counted]
    said = {key: _WORDS.get(key, f"{key.replace('_', ' ')} {{}}").format(own[key]) for key in changed[:_FIRST]}
    departs = [f"{words} in place of {exact[key]}" for key, words in said.items()]
    if len(changed) > _FIRST:
        departs.append(f"and {len(changed) - _FIRST} more")
    return f"not tested by this profile ({', '.join(departs)})" if departs else ""


def caveat(here: Notebook, name: str = "beta_sweep") -> str:
    """Return `departure` as the sentence that ends a headline, or ""."""
    return f" The original's figures are {found}." if (found := departure(here, name)) else ""


def evidence(profile: str, counts: Sequence[int], original: Mapping[str, Any], kept: bool = False) -> Evidence:
    """Return the stored runs that the claims are tested on; none where the profile departs from the original."""
    sweep, settings, ablations = (asked_by(name, profile, kept) for name in ("beta_sweep", "settings", "ablations"))
    if departs := next(filter(None, map(departure, (sweep, settings, ablations))), ""):
        return Evidence(original=original, departure=departs)
    # The runs on the whole training set: those with a split held out only choose beta.
    swept = joined(
        sweep.stored(beta_sweep(sweep, counts, validation=0), seeds(sweep)),
        sweep.stored(confirmation(sweep, counts, validation=0), fresh_seeds(sweep)),
    )
    table = settings.stored(closing_table(settings), seeds(settings))
    small = asked_by("convnet", profile, kept)
    wanted = {} if departure(small, "convnet") else readings(settings, small)
    network = settings.stored(wanted, seeds(settings, "reading_repeats"))
    tuned = ablations.stored(by_gamma(ablations), seeds(ablations))
    return Evidence(
        original=original,
        cross_entropy=swept.pop(CE),
        balanced=swept,
        # Readings that differ in batch and rate alone.
        convnet={
            Setting(wanted[name].learning_rate, wanted[name].batch_size): runs
            for name, runs in network.items()
            if READINGS[name].keys() <= {"batch_size", "learning_rate"}
        },
        gammas={beta: {g: runs for (b, g), runs in tuned.items() if b == beta} for beta, _ in tuned},
        candidates={setting: (table[setting, CE], table[setting, "CB"]) for setting, loss in table if loss == CE},
    )
