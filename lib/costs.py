"""What a sweep of another size would cost, from what the stored runs took."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lib.errors import UserError
from lib.experiment import Experiment
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
        records: stored runs; those of `model` on CIFAR-10's long tail are looked at, and of these the protocol (epochs,
            factor, images held out) that most of them have.
        device: "cpu" or "cuda": of the runs that were trained there, one at a time, the time is taken.
        rate: images per second of a worker, trained and evaluated alike; instead of what the records took.

    Raises:
        UserError: no such run is stored, and no rate is given.
    """
    tail = [r for r in records if _is_of(r.experiment, model)]
    if not tail:
        raise UserError(f"No run of {model} on CIFAR-10's long tail is stored to go by.")
    if rate:
        run = _usual(tail)[0]
        images = run.experiment.epochs * (sum(run.counts) + _TEST_IMAGES)
        return Cost(runs, workers, images / rate, f"{images:,} images at {rate:,.0f} a second, which was given")
    timed = [r for r in tail if str(r.machine["device"]).startswith(device) and "replicas" not in r.machine]
    if not timed:
        raise UserError(f"No run of {model} on {device} is stored; give its images per second with --rate.")
    timed = _usual(timed)
    seconds = float(np.median([r.wall_time for r in timed]))
    machines = ", ".join(sorted({f"{r.machine['device']}, {r.machine['threads']} thread" for r in timed}))
    epochs = timed[0].experiment.epochs
    return Cost(runs, workers, seconds, f"median of {len(timed)} stored runs of {epochs} epochs on {machines}")


def summary(records: Sequence[Record], runs: int = 10_000, model: str = "ResNet-32") -> str:
    """Markdown: what so many runs cost on CPU cores and on GPUs; "" where no such run is stored at all."""
    if not any(_is_of(r.experiment, model) for r in records):
        return ""
    lines = [f"{runs:,} runs of {model} on the long tail:\n"]
    for name, device, workers in (("CPU cores", "cpu", 256), ("GPUs", "cuda", 8)):
        try:
            lines.append(f"- {workers} {name}: {of(records, runs, workers, model, device)}")
        except UserError:
            lines.append(f"- {name}: no run of {model} on one is stored, so that nothing is computed.")
    return "\n".join(lines)


def _is_of(experiment: Experiment, model: str) -> bool:
    return experiment.model == model and experiment.data == "cifar10" and experiment.imbalance != "none"


def _usual(records: Sequence[Record]) -> list[Record]:
    """Those of the protocol that most have."""
    ((protocol, _),) = Counter(_protocol(r.experiment) for r in records).most_common(1)
    return [r for r in records if _protocol(r.experiment) == protocol]


def _protocol(experiment: Experiment) -> tuple:
    return experiment.epochs, experiment.imbalance, experiment.factor, experiment.validation
