"""Kept runs, trained again and compared."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch

from lib.experiment import NUMERICS_VERSION
from lib.runs.store import Store
from lib.system import device
from lib.system.errors import UserError
from lib.training import Epoch, Record, train

#: Bounds of the difference to a kept run on another machine, with other threads or another torch: sums are then added
#: in another order, and training amplifies the last digit. Two ResNet-32 runs of one seed whose class weights differ in
#: the fifth digit (kept runs with beta 0 and 0.8) differed by up to 5.1 % in an epoch's training loss and by 1.8 points
#: at the last epoch. Another loss, batch size, learning rate or gamma gives a difference above 15 %.
LOSS_BOUND, ACCURACY_BOUND = 0.08, 0.05


class Comparison(NamedTuple):
    """A kept run beside the same experiment trained again."""

    holds: bool  # the kept run is confirmed
    line: str  # one-line result


def verify(
    folder: Path, count: int, seed: int | None = None, on_epoch: Callable[[Epoch], None] | None = None
) -> list[Comparison]:
    """Train `count` of the runs kept in `folder`, drawn by `seed`, again and compare; UserError where none is kept."""
    kept = [record for record in Store(folder).records() if record.numerics == NUMERICS_VERSION]
    if not (records := [record for record in kept if record.experiment.replace() == record.experiment]):
        raise UserError(f"No run of numerics version {NUMERICS_VERSION} and of today's code is kept in {folder}.")
    chosen = random.Random(seed).sample(records, min(count, len(records)))
    before, found = torch.get_num_threads(), []
    try:
        for record in chosen:
            threads = record.machine.get("threads")
            torch.set_num_threads(min(threads if isinstance(threads, int) and threads > 0 else 64, device.cores()))
            found.append(compare(record, train(record.experiment, on_epoch=on_epoch)[0]))
    finally:
        torch.set_num_threads(before)
    return found


def compare(kept: Record, again: Record) -> Comparison:
    """Compare two runs of one experiment: every number on the same machine, else within the bounds."""
    name, now, then = f"{kept.key[:8]} {kept.experiment.title}", again.machine, kept.machine
    if _numbers(kept) == _numbers(again):
        return Comparison(True, f"{name}: bit-identical")
    if (again.data_digest, again.counts) != (kept.data_digest, kept.counts):
        return Comparison(False, f"{name}: NOT the same training images")
    # Apart are runs of several parts, and those that lib 0.1 trained several at a time (replicas).
    if (
        not kept.parts
        and "replicas" not in then
        and all(key in then and then[key] == now.get(key) for key in device.DECISIVE)
    ):
        return Comparison(False, f"{name}: NOT the same, on the same machine")
    pairs = zip(again.history, kept.history, strict=True)
    loss = max(abs(new.train_loss - old.train_loss) / max(old.train_loss, 1e-9) for new, old in pairs)
    accuracy = again.last.test.accuracy - kept.last.test.accuracy
    holds = loss <= LOSS_BOUND and abs(accuracy) <= ACCURACY_BOUND
    return Comparison(
        holds,
        f"{name}: {'within' if holds else 'NOT within'} the bounds of another machine: training loss {loss:.1%} off at "
        f"most (bound {LOSS_BOUND:.0%}), accuracy {100 * accuracy:+.1f} points (bound {100 * ACCURACY_BOUND:g})",
    )


def _numbers(record: Record) -> list[dict]:
    """Every number of every epoch, apart from times."""
    return [epoch.model_dump(exclude={"seconds", "images_per_second"}) for epoch in record.history]
