"""What a sweep of another size would cost, from what the stored runs took."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lib.errors import UserError
from lib.training import Record

#: Images that are evaluated after every epoch.
_TEST_IMAGES = 10_000


@dataclass(frozen=True)
class Cost:
    """Assumes workers that are as fast as those measured, that none waits for another, and no start-up."""

    runs: int
    workers: int
    seconds: float  # of one worker for one run, evaluation included
    basis: str  # where the seconds come from

    @property
    def worker_hours(self) -> float:
        return self.runs * self.seconds / 3600

    @property
    def hours(self) -> float:
        """From start to end; the last runs are waited for."""
        return -(-self.runs // self.workers) * self.seconds / 3600

    def __str__(self) -> str:
        total = f"{self.hours:,.1f} hours" if self.hours < 48 else f"{self.hours / 24:,.1f} days"
        return (
            f"{self.runs:,} runs of {self.seconds:,.1f} s each ({self.basis}) are {self.worker_hours:,.0f} hours of "
            f"one worker; {self.workers:,} workers are done after {total}, if they are as fast and none waits."
        )


def of(records: Sequence[Record], runs: int, workers: int, model: str, device: str, rate: float | None = None) -> Cost:
    """The cost of so many runs like those stored.

    Args:
        records: stored runs; those of `model` on the long tail that were trained on `device` ("cpu", "cuda"), one at
            a time, are looked at.
        rate: images per second of a worker, trained and evaluated alike; instead of what the records took.

    Raises:
        UserError: no such run is stored, and no rate is given.
    """
    alike = [r for r in records if r.experiment.model == model and r.experiment.imbalance != "none"]
    if not alike:
        raise UserError(f"No run of {model} on the long tail is stored to go by.")
    if rate:
        run = max(alike, key=lambda r: r.finished)
        images = run.experiment.epochs * (sum(run.counts) + _TEST_IMAGES)
        return Cost(runs, workers, images / rate, f"{images:,} images at {rate:,.0f} a second, which was given")
    timed = [r for r in alike if str(r.machine["device"]).startswith(device) and "replicas" not in r.machine]
    if not timed:
        raise UserError(f"No run of {model} on {device} is stored; give its images per second with --rate.")
    seconds = float(np.median([r.wall_time for r in timed]))
    machines = ", ".join(sorted({f"{r.machine['device']}, {r.machine['threads']} thread" for r in timed}))
    return Cost(runs, workers, seconds, f"median of {len(timed)} stored runs on {machines}")
