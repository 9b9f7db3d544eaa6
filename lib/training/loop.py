"""The training loop."""

import math
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

import lib
from lib import data, device, losses, models
from lib.data import Dataset, ImageSet
from lib.errors import UserError
from lib.experiment import NUMERICS_VERSION, Experiment
from lib.training import checkpoint as checkpoints
from lib.training.batches import training_batches
from lib.training.checkpoint import Checkpoint
from lib.training.evaluation import evaluate
from lib.training.memory import keep_freed_memory
from lib.training.precision import autocast
from lib.training.results import Epoch, Record, Weights
from lib.training.schedule import learning_rate


class Diverged(UserError):
    """The loss became NaN or infinite."""


class Interrupted(KeyboardInterrupt):
    """Ctrl-C or an interrupted kernel; `history` holds the finished epochs."""

    def __init__(self, message: str, history: list[Epoch]):
        super().__init__(message, history)  # both, so that the exception survives pickling
        self.history = history

    def __str__(self) -> str:
        return self.args[0]


def train(
    experiment: Experiment,
    dataset: Dataset | None = None,
    *,
    on: torch.device | None = None,
    on_epoch: Callable[[Epoch], None] | None = None,
    checkpoint: Path | None = None,
    origin: str = "",
) -> tuple[Record, dict[str, Weights]]:
    """Train one experiment from start to end.

    Args:
        dataset: already loaded data; by default what the experiment names.
        on: the device; by default CUDA where there is one.
        on_epoch: called after every newly finished epoch.
        checkpoint: file for the state after each epoch. If it exists the run goes on from there, and ends,
            on a CPU with the same number of threads, bit-identical to an undisturbed run.
        origin: what asked for the run (a parameter file), kept in the record.

    Returns:
        The record, and the weights of the "best" and the "last" epoch.

    Raises:
        Diverged: the loss is not finite; names epoch, step and settings.
        Interrupted: on Ctrl-C; carries the history.
    """
    keep_freed_memory()
    on = on or device.default_device()
    dataset = dataset or data.load(experiment.data)
    training, validation = training_part(dataset, experiment)
    counts = torch.bincount(training.labels, minlength=len(data.CLASS_NAMES)).tolist()
    training, test = _to(training, on), _to(dataset.test, on)
    validation = _to(validation, on) if validation else None

    model = models.build(experiment.model, experiment.seed)
    if experiment.loss == "sigmoid_focal":
        _start_as_rare(model)
    model = model.to(on, memory_format=torch.channels_last)
    loss = losses.build(
        experiment.loss,
        counts=counts,
        beta=experiment.beta,
        gamma=experiment.gamma,
        normalisation=experiment.normalisation,
        device=on,
    )
    optimizer = make_optimizer(model, experiment)
    state = checkpoint and checkpoints.load(checkpoint, experiment.key, model, optimizer)
    state = state or Checkpoint(history=[], best={})
    sigmoid = experiment.loss == "sigmoid_focal"
    try:
        for number in range(len(state.history) + 1, experiment.epochs + 1):
            start = time.perf_counter()
            train_loss, train_accuracy, rate = train_epoch(model, optimizer, loss, training, experiment, number)
            trained = time.perf_counter()
            epoch = Epoch(
                epoch=number,
                learning_rate=rate,
                train_loss=train_loss,
                train_accuracy=train_accuracy,
                test=evaluate(model, test, experiment.precision, sigmoid),
                validation=validation and evaluate(model, validation, experiment.precision, sigmoid),
                seconds=time.perf_counter() - start,
                images_per_second=len(training.labels) / (trained - start),
            )
            if not math.isfinite(epoch.test.loss):  # the last step of an epoch can be the one that diverges
                raise _diverged(f"test loss became {epoch.test.loss} after epoch {number}", experiment)
            if epoch.test.accuracy > max((e.test.accuracy for e in state.history), default=-1.0):
                state.best = _weights(model)
            state.history.append(epoch)
            if checkpoint:
                checkpoints.save(checkpoint, experiment.key, model, optimizer, state)
            if on_epoch:
                on_epoch(epoch)
    except KeyboardInterrupt:
        kept = "run it again to continue" if checkpoint else "its history is kept in this exception"
        message = f"Stopped after {len(state.history)} of {experiment.epochs} epochs; {kept}."
        raise Interrupted(message, state.history) from None

    record = Record(
        experiment=experiment,
        key=experiment.key,
        numerics=NUMERICS_VERSION,
        counts=counts,
        history=state.history,
        wall_time=sum(epoch.seconds for epoch in state.history),
        finished=datetime.now(UTC).isoformat(timespec="seconds"),
        machine=device.describe(),
        lib=lib.__version__,
        data_digest=dataset.digest,
        origin=origin,
    )
    return record, {"best": state.best, "last": _weights(model)}


def training_part(dataset: Dataset, experiment: Experiment) -> tuple[ImageSet, ImageSet | None]:
    """The images an experiment trains on, and those it holds out for validation, if any.

    The long-tailed subset is drawn first, the validation split is then carved from it.
    """
    chosen = np.arange(len(dataset.train.labels))
    if experiment.imbalance != "none":
        chosen = data.long_tailed_indices(
            dataset.train.labels, experiment.factor, experiment.imbalance, experiment.subset_seed
        )
    held_out = None
    if experiment.validation:
        kept, held = data.stratified_split(dataset.train.labels[chosen], experiment.validation, experiment.subset_seed)
        chosen, held_out = chosen[kept], chosen[held]
    everything = len(chosen) == len(dataset.train.labels)
    training = dataset.train if everything else _take(dataset.train, chosen)
    return training, None if held_out is None else _take(dataset.train, held_out)


def _take(images: ImageSet, indices: np.ndarray) -> ImageSet:
    indices = torch.from_numpy(indices)
    return ImageSet(images.images[indices], images.labels[indices])


def _to(images: ImageSet, on: torch.device) -> ImageSet:
    return ImageSet(images.images.to(on), images.labels.to(on))


def _weights(model: nn.Module) -> Weights:
    """A copy on the CPU in the plain layout: what can be stored, and what further steps leave alone."""
    return {
        name: value.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
        for name, value in model.state_dict().items()
    }


def _start_as_rare(model: nn.Module) -> None:
    """Output bias -log(C - 1): every sigmoid starts at 1 / C (Cui et al. 2019, section 5.1)."""
    nn.init.constant_(model.output.bias, -math.log(model.output.out_features - 1))


def make_optimizer(model: nn.Module, experiment: Experiment, fused: bool = True) -> torch.optim.SGD:
    """SGD with momentum; weight decay on everything, except the output bias under the sigmoid loss.

    Args:
        fused: one kernel for all parameters; the same numbers as without, sooner.
    """
    exempt = [model.output.bias] if experiment.loss == "sigmoid_focal" else []
    decayed = [p for p in model.parameters() if all(p is not e for e in exempt)]
    groups = [{"params": decayed, "weight_decay": experiment.weight_decay}]
    if exempt:
        groups.append({"params": exempt, "weight_decay": 0.0})
    return torch.optim.SGD(
        groups,
        lr=experiment.learning_rate,
        momentum=experiment.momentum,
        nesterov=experiment.nesterov,
        fused=fused,
    )


def train_epoch(
    model: nn.Module,
    optimizer: torch.optim.SGD,
    loss: losses.Loss,
    training: ImageSet,
    experiment: Experiment,
    number: int,
) -> tuple[float, float, float]:
    """One epoch; returns mean loss, accuracy and the last rate. The device is asked once, at the end."""
    model.train()
    on = training.labels.device
    steps = math.ceil(len(training.labels) / experiment.batch_size)
    batch_losses, outputs, targets = [], [], []
    batches = training_batches(
        training,
        batch_size=experiment.batch_size,
        seed=experiment.seed,
        epoch=number,
        augmentation=experiment.augmentation,
    )
    rate = experiment.learning_rate
    for step, (images, labels) in enumerate(batches):
        rate = learning_rate(experiment, (number - 1) * steps + step, steps)
        for group in optimizer.param_groups:
            group["lr"] = rate
        with autocast(on, experiment.precision):
            logits = model(images)
        batch_loss = loss(logits, labels)
        optimizer.zero_grad(set_to_none=True)
        batch_loss.backward()
        optimizer.step()
        batch_losses.append(batch_loss.detach())
        outputs.append(logits.detach())
        targets.append(labels)
    batch_losses = torch.stack(batch_losses)
    _check_finite(batch_losses, experiment, number)
    sizes = torch.full((steps,), float(experiment.batch_size), device=on)
    sizes[-1] = len(training.labels) - (steps - 1) * experiment.batch_size
    mean_loss = (batch_losses * sizes).sum() / sizes.sum()
    correct = (torch.cat(outputs).argmax(1) == torch.cat(targets)).sum()
    return mean_loss.item(), correct.item() / len(training.labels), rate


def _check_finite(batch_losses: Tensor, experiment: Experiment, number: int) -> None:
    bad = (~batch_losses.isfinite()).nonzero()
    if len(bad):
        step = int(bad[0]) + 1
        value = batch_losses[step - 1].item()
        raise _diverged(f"loss became {value} in epoch {number}, step {step} of {len(batch_losses)}", experiment)


def _diverged(what: str, experiment: Experiment) -> Diverged:
    settings = experiment.model_dump(exclude_defaults=True)
    return Diverged(f"The {what}. Try a lower learning rate. The settings were {settings}.")
