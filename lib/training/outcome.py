"""How a run ends: a record with weights, or a loss that is no number any more."""

from collections.abc import Sequence
from datetime import UTC, datetime

import torch
from torch import Tensor, nn

import lib
from lib.data import Dataset
from lib.experiment import NUMERICS_VERSION, Experiment
from lib.system import device
from lib.system.errors import UserError
from lib.training.results import Epoch, Record, Weights


class Diverged(UserError):
    """The loss became NaN or infinite."""


def check_finite(batch_losses: Tensor, experiment: Experiment, number: int) -> None:
    """Raises Diverged for the first of an epoch's losses [steps] that is not finite."""
    bad = (~batch_losses.isfinite()).nonzero()
    if len(bad):
        step = int(bad[0]) + 1
        value = batch_losses[step - 1].item()
        raise diverged(f"loss became {value} in epoch {number}, step {step} of {len(batch_losses)}", experiment)


def diverged(what: str, experiment: Experiment) -> Diverged:
    """The error for a run that cannot go on, with its settings."""
    settings = ", ".join(f"{name} {value}" for name, value in experiment.model_dump(exclude_defaults=True).items())
    return Diverged(f"The {what}. Try a lower learning rate. The settings were: {settings}.")


def plain_weights(model: nn.Module) -> Weights:
    """A copy on the CPU in the plain layout: what can be stored, and what further steps leave alone."""
    return {
        name: value.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
        for name, value in model.state_dict().items()
    }


def make_record(
    experiment: Experiment,
    history: Sequence[Epoch],
    *,
    counts: list[int],
    dataset: Dataset,
    origin: str,
    final_train_correct: list[int],
) -> Record:
    """The record of a run that has just finished on this machine.

    Args:
        counts: training images per class.
    """
    return Record(
        experiment=experiment,
        key=experiment.key,
        numerics=NUMERICS_VERSION,
        counts=counts,
        history=history,
        wall_time=sum(epoch.seconds for epoch in history),
        finished=datetime.now(UTC).isoformat(timespec="seconds"),
        machine=device.describe(),
        lib=lib.__version__,
        data_digest=dataset.digest,
        origin=origin,
        final_train_correct=final_train_correct,
    )
