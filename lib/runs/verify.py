"""Kept runs, trained again and compared."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

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
#: Equal on the same machine; a record that lacks one of them is held to the bounds only.
_SAME = ("device", "threads", "torch", "platform", "instructions")


@dataclass(frozen=True)
class Comparison:
    """A kept run and the same experiment trained again."""

    kept: Record
    again: Record

    @property
    def same_machine(self) -> bool:
        """True where every bit has to be the same; runs that lib 0.1 trained several at a time (replicas) are apart."""
        now, then = self.again.machine, self.kept.machine
        return "replicas" not in then and all(name in then and then[name] == now.get(name) for name in _SAME)

    @property
    def identical(self) -> bool:
        """True where every number of every epoch is the same, apart from times."""
        return _numbers(self.kept) == _numbers(self.again)

    @property
    def difference(self) -> float:
        """Difference in test accuracy at the last epoch."""
        return self.again.last.test.accuracy - self.kept.last.test.accuracy

    @property
    def loss_difference(self) -> float:
        """Largest relative difference of an epoch's training loss."""
        pairs = zip(self.again.history, self.kept.history, strict=True)
        return max(abs(now.train_loss / then.train_loss - 1) for now, then in pairs)

    @property
    def same_images(self) -> bool:
        """True where both were trained on the same images, as far as the records tell."""
        return (self.again.data_digest, self.again.counts) == (self.kept.data_digest, self.kept.counts)

    @property
    def holds(self) -> bool:
        """True where the kept run is confirmed."""
        if self.identical or self.same_machine or not self.same_images:
            return self.identical
        return self.loss_difference <= LOSS_BOUND and abs(self.difference) <= ACCURACY_BOUND

    def line(self) -> str:
        """Return a one-line result."""
        name = f"{self.kept.key[:8]} {self.kept.experiment.title}"
        if self.identical:
            return f"{name}: bit-identical"
        if not self.same_images:
            return f"{name}: NOT the same training images"
        if self.same_machine:
            return f"{name}: NOT the same, on the same machine"
        return (
            f"{name}: {'within' if self.holds else 'NOT within'} the bounds of another machine: training loss "
            f"{self.loss_difference:.1%} off at most (bound {LOSS_BOUND:.0%}), accuracy {100 * self.difference:+.1f} "
            f"points (bound {100 * ACCURACY_BOUND:g})"
        )


def _numbers(record: Record) -> list[dict]:
    return [epoch.model_dump(exclude={"seconds", "images_per_second"}) for epoch in record.history]


def verify(
    folder: Path, count: int, seed: int | None = None, on_epoch: Callable[[Epoch], None] | None = None
) -> list[Comparison]:
    """Pick kept runs at random, train them again and compare.

    Args:
        folder: the kept runs.
        count: number of runs.
        seed: of the choice; None: a new choice each time.

    Raises UserError where no run of this numerics version is kept.
    """
    records = [record for record in Store(folder).records() if record.numerics == NUMERICS_VERSION]
    if not records:
        raise UserError(f"No run of numerics version {NUMERICS_VERSION} is kept in {folder}.")
    chosen = random.Random(seed).sample(records, min(count, len(records)))
    before = torch.get_num_threads()
    try:
        return [_again(record, on_epoch) for record in chosen]
    finally:
        torch.set_num_threads(before)


def _again(record: Record, on_epoch: Callable[[Epoch], None] | None) -> Comparison:
    torch.set_num_threads(min(int(record.machine.get("threads", device.cores())), device.cores()))
    return Comparison(record, train(record.experiment, on_epoch=on_epoch)[0])
