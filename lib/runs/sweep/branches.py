"""Runs that share their first epochs: the states that are worth keeping, and the order that trains them once.

A run with something deferred is another run up to there (cross-entropy up to epoch 160, then re-weighted, or sampled by
class), and one with a step schedule is the start of a longer one.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from lib.experiment import Experiment
from lib.runs.store import Store

States = dict[str, dict[int, Path]]  # files by a run's key and by epoch


def shared(experiments: Sequence[Experiment], store: Store) -> States:
    """Return the files for states that at least two of the runs have in common, or that are stored already."""
    points = {epoch for e in experiments for epoch in (e.epochs, e.deferred)} - {0}
    points |= {int(file.stem.rpartition("-")[2]) for file in store.folder.glob("states/*-*.safetensors")}
    if len(points) < 2:
        return {}
    found: States = {}
    users = Counter[Path]()
    for e in {e.key: e for e in experiments}.values():
        found[e.key] = {epoch: store.state(e, epoch) for epoch in points.intersection(e.evaluated)}
        users.update(found[e.key].values())
    return {
        key: {epoch: file for epoch, file in files.items() if users[file] > 1 or file.exists()}
        for key, files in found.items()
    }


def in_waves(missing: Sequence[Experiment], states: Mapping[str, Mapping[int, Path]]) -> list[list[Experiment]]:
    """Return the runs in groups, one after the other: whoever shares a state comes after the first who makes it."""
    made: dict[Path, int] = {}  # the wave that makes a state
    waves: list[list[Experiment]] = []
    for e in sorted(missing, key=lambda e: e.deferred > 0):  # the whole run first, as it is a branch of no other
        files = states.get(e.key, {})
        there = max((epoch for epoch, file in files.items() if file.exists()), default=0)
        wave = 1 + max((made[file] for epoch, file in files.items() if epoch > there and file in made), default=-1)
        for file in files.values():
            made.setdefault(file, wave)
        waves += [[] for _ in range(wave + 1 - len(waves))]
        waves[wave].append(e)
    return waves
