"""Published runs, trained again and compared."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from lib import device
from lib.errors import UserError
from lib.experiment import NUMERICS_VERSION
from lib.records import Store
from lib.training import Epoch, Record, train

#: Accuracy at the last epoch may differ by this much on another machine, with other threads or another torch: sums are
#: then added in another order, and a training amplifies the last digit until it is another seed's run.
BOUND = 0.03
_SAME = ("device", "threads", "torch", "platform")


@dataclass(frozen=True)
class Comparison:
    """A published run beside the same experiment trained here and now."""

    published: Record
    again: Record

    @property
    def same_machine(self) -> bool:
        """Whether every bit has to be the same: device, threads, torch, trained on its own."""
        alike = all(self.published.machine.get(name) == self.again.machine.get(name) for name in _SAME)
        return alike and "replicas" not in self.published.machine

    @property
    def identical(self) -> bool:
        """Whether every number of every epoch is the same, times apart."""
        return _numbers(self.published) == _numbers(self.again)

    @property
    def difference(self) -> float:
        """In test accuracy at the last epoch."""
        return self.again.last.test.accuracy - self.published.last.test.accuracy

    @property
    def holds(self) -> bool:
        return self.identical if self.same_machine else abs(self.difference) <= BOUND

    def line(self) -> str:
        """What came of it."""
        name = f"{self.published.key[:8]} {self.published.experiment.title}"
        if self.same_machine:
            return f"{name}: {'bit-identical' if self.identical else 'NOT the same, on the same machine'}"
        verdict = "within" if self.holds else "NOT within"
        return f"{name}: {100 * self.difference:+.1f} points, {verdict} {100 * BOUND:g} (made on another machine)"


def _numbers(record: Record) -> list[dict]:
    return [epoch.model_dump(exclude={"seconds", "images_per_second"}) for epoch in record.history]


def verify(
    folder: Path, count: int, seed: int | None = None, on_epoch: Callable[[Epoch], None] | None = None
) -> list[Comparison]:
    """Pick published runs at random, train them again, compare.

    Args:
        folder: the published runs.
        count: how many.
        seed: of the choice; None: another one every time.

    Raises:
        UserError: nothing is published there, or by another numerics version alone.
    """
    records = [record for record in Store(folder).records() if record.numerics == NUMERICS_VERSION]
    if not records:
        raise UserError(f"No run of numerics version {NUMERICS_VERSION} is published in {folder}.")
    chosen = random.Random(seed).sample(records, min(count, len(records)))
    before = torch.get_num_threads()
    try:
        return [_again(record, on_epoch) for record in chosen]
    finally:
        torch.set_num_threads(before)


def _again(record: Record, on_epoch: Callable[[Epoch], None] | None) -> Comparison:
    cores = int(device.describe()["cores"])
    torch.set_num_threads(min(int(record.machine.get("threads", cores)), cores))
    return Comparison(record, train(record.experiment, on_epoch=on_epoch)[0])
