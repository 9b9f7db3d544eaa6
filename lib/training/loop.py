"""The training loop."""

import math
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from lib import data, losses, models
from lib.data import Dataset, ImageSet
from lib.experiment import Experiment
from lib.system import device
from lib.system.errors import Brief
from lib.training import checkpoint as checkpoints
from lib.training.batches import training_batches
from lib.training.checkpoint import Checkpoint
from lib.training.evaluation import evaluate, measure, predict
from lib.training.memory import keep_freed_memory
from lib.training.outcome import check_finite, diverged, make_record, plain_weights
from lib.training.precision import autocast
from lib.training.results import Epoch, Record, Weights
from lib.training.schedule import learning_rate
from lib.training.setup import make_optimizer, start_as_rare, to_device, training_part


class Interrupted(Brief, KeyboardInterrupt):
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
        The record, and tensors by name: the weights of the "best" and the "last" epoch, and under "logits" those of
        the last epoch on the test set ("test", float16 [N, C], in the order of the test set).

    Raises:
        Diverged: the loss is not finite; names epoch, step and settings.
        Interrupted: on Ctrl-C; carries the history.
        NoRoom: the checkpoint cannot be written.
    """
    keep_freed_memory()
    on = on or device.default_device()
    dataset = dataset or data.load(experiment.data)
    training, validation = training_part(dataset, experiment)
    counts = torch.bincount(training.labels, minlength=len(data.CLASS_NAMES)).tolist()
    training, test = to_device(training, on), to_device(dataset.test, on)
    validation = to_device(validation, on) if validation else None

    model = models.build(experiment.model, experiment.seed)
    if experiment.loss == "sigmoid_focal":
        start_as_rare(model)
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
    logits = None  # of the newest epoch on the test set
    try:
        for number in range(len(state.history) + 1, experiment.epochs + 1):
            start = time.perf_counter()
            train_loss, hits, rate = train_epoch(model, optimizer, loss, training, experiment, number)
            trained = time.perf_counter()
            logits = predict(model, test.images, experiment.precision)
            epoch = Epoch(
                epoch=number,
                learning_rate=rate,
                train_loss=train_loss,
                train_accuracy=sum(hits) / len(training),
                train_hits=hits,
                test=measure(logits, test.labels, sigmoid),
                validation=validation and evaluate(model, validation, experiment.precision, sigmoid),
                seconds=time.perf_counter() - start,
                images_per_second=len(training.labels) / (trained - start),
            )
            if not math.isfinite(epoch.test.loss):  # the last step of an epoch can be the one that diverges
                raise diverged(f"test loss became {epoch.test.loss} after epoch {number}", experiment)
            if epoch.test.accuracy > max((e.test.accuracy for e in state.history), default=-1.0):
                state.best = plain_weights(model)
            state.history.append(epoch)
            if checkpoint:
                checkpoints.save(checkpoint, experiment.key, model, optimizer, state)
            if on_epoch:
                on_epoch(epoch)
    except KeyboardInterrupt:
        kept = "run it again to continue" if checkpoint else "its history is kept in this exception"
        message = f"Stopped after {len(state.history)} of {experiment.epochs} epochs; {kept}."
        raise Interrupted(message, state.history) from None

    if logits is None:  # the checkpoint held every epoch
        logits = predict(model, test.images, experiment.precision)
    final = evaluate(model, training, experiment.precision)
    record = make_record(
        experiment,
        state.history,
        counts=counts,
        dataset=dataset,
        origin=origin,
        final_train_correct=[row[k] for k, row in enumerate(final.confusion)],
    )
    return record, {"best": state.best, "last": plain_weights(model), "logits": {"test": logits.half().cpu()}}


def train_epoch(
    model: nn.Module,
    optimizer: torch.optim.SGD,
    loss: losses.Loss,
    training: ImageSet,
    experiment: Experiment,
    number: int,
) -> tuple[float, list[int], float]:
    """One epoch; returns mean loss, images classified correctly by class, and the last rate.

    The device is asked once, at the end.
    """
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
    check_finite(batch_losses, experiment, number)
    sizes = torch.full((steps,), float(experiment.batch_size), device=on)
    sizes[-1] = len(training.labels) - (steps - 1) * experiment.batch_size
    mean_loss = (batch_losses * sizes).sum() / sizes.sum()
    outputs, targets = torch.cat(outputs), torch.cat(targets)
    hits = torch.bincount(targets[outputs.argmax(1) == targets], minlength=outputs.shape[1])
    return mean_loss.item(), hits.tolist(), rate
