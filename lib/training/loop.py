"""The training loop."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import torch
from pydantic import ValidationError
from torch import nn

import lib
from lib import data, losses
from lib.data import Dataset, ImageSet
from lib.experiment import NUMERICS_VERSION, Experiment
from lib.system import device
from lib.system.errors import UserError, reason
from lib.training import checkpoint as checkpoints
from lib.training.batches import mix, training_batches, training_part
from lib.training.checkpoint import Checkpoint
from lib.training.evaluation import evaluate, measure, predict
from lib.training.optimizer import autocast, build_model, freeze, learning_rate, make_optimizer
from lib.training.results import Epoch, Record, Weights, plain_weights

#: Called before every step with the epoch, its images trained so far and all; True ends the run as Ctrl-C does.
OnStep = Callable[[int, int, int], bool | None]


class Diverged(UserError):
    """The loss became NaN or infinite."""


class Interrupted(KeyboardInterrupt):
    """Ctrl-C, an interrupted kernel or an `on_step`; `history` holds the finished epochs."""

    _render_traceback_ = UserError._render_traceback_

    def __init__(self, message: str, history: Sequence[Epoch] = ()):
        super().__init__(message)
        self.history = list(history)


def train(
    experiment: Experiment,
    dataset: Dataset | None = None,  # already loaded; by default what the experiment names
    *,
    on: torch.device | None = None,  # by default CUDA where there is one
    on_epoch: Callable[[Epoch], None] | None = None,  # called after every newly finished epoch
    checkpoint: Path | None = None,  # file for the state after each epoch
    origin: str = "",  # the parameter file that asked for the run, kept in the record
    on_step: OnStep | None = None,
    states: Mapping[int, Path] | None = None,  # files for the states after some epochs, shared with other runs
) -> tuple[Record, dict[str, Weights]]:
    """Train one experiment from start to end, or on from the epochs of an existing checkpoint or state.

    On a CPU with the same number of threads it ends bit-identical to an undisturbed run. Returns the record and tensors
    by name: the weights of the "best" and the "last" epoch, of the latter's last layer alone ("output"), and under
    "logits" those of the last epoch ("test" and, where images were held out, "validation", float16 [N, C], in the order
    of the images).

    Raises Diverged where the loss is not finite, with epoch, step and settings; Interrupted on Ctrl-C or by `on_step`,
    with the history; NoRoom where the checkpoint cannot be written; and UserError where this program's code of the
    model, loss or data set is not the experiment's.
    """
    if experiment.replace() != experiment:
        said = f"{experiment.title} was asked for with other code of its model, loss or data set"
        raise UserError(f"{said} ({experiment.code or 'as shipped'}); restart what asked for it, or the workers.")
    device.keep_freed_memory()
    on = on or device.default_device()
    dataset = dataset or data.load(experiment.data)
    training, validation = training_part(dataset, experiment)
    counts = training.counts(len(dataset.classes))
    training, test, validation = training.to(on), dataset.test.to(on), validation and validation.to(on)

    sigmoid = losses.LOSSES[experiment.loss].sigmoid
    model = build_model(experiment, len(dataset.classes)).to(on)
    model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    fields = experiment.model_dump(include={"beta", "gamma", "tau", "deferred"})
    fields |= {"epochs": experiment.scheduled, "reduction": experiment.normalisation}
    loss = losses.build(experiment.loss, counts=counts, device=on, **fields)
    optimizer = make_optimizer(model, experiment)
    state = checkpoint and checkpoints.load(checkpoint, experiment.key, model, optimizer)
    states = {number: file for number, file in (states or {}).items() if number in experiment.evaluated}
    for number in sorted(states, reverse=True):
        state = state or checkpoints.load(states[number], experiment.prefix(number), model, optimizer)
    state = state or Checkpoint(history=[], best={}, parts=[])
    here, earlier = device.describe(), state.parts
    if earlier and all(earlier[-1][1].get(name) == here[name] for name in device.DECISIVE):  # the last part goes on
        earlier = earlier[:-1]
    by_class, network = experiment.sampling == "classes", experiment.retrain * experiment.deferred  # see Record.best
    logits = None  # of the newest epoch on the test set
    try:
        evaluated, start = frozenset(experiment.evaluated), time.perf_counter()
        for number in range(state.done + 1, experiment.epochs + 1):
            train_started = time.perf_counter()
            if number > experiment.scheduled:
                freeze(model, optimizer, experiment, len(counts), new=number == experiment.scheduled + 1)
            train_loss, correct, rate = train_epoch(
                model, optimizer, loss, training, dataset, experiment, number, on_step
            )
            trained = time.perf_counter()
            if number not in evaluated:
                continue
            logits = predict(model, test.images, experiment.precision, dataset)
            try:
                epoch = Epoch(
                    epoch=number,
                    learning_rate=rate,
                    train_loss=train_loss,
                    train_accuracy=sum(correct) / len(training),
                    train_hits=None if experiment.mixup or (by_class and number > experiment.deferred) else correct,
                    test=measure(logits, test.labels, sigmoid),
                    validation=validation and evaluate(model, validation, experiment.precision, dataset, sigmoid),
                    seconds=time.perf_counter() - start,
                    images_per_second=len(training) / (trained - train_started),
                )
            except ValidationError as error:  # the last step of an epoch can be the one that diverges
                raise _diverged(f"result of epoch {number} is not finite ({reason(error)})", experiment) from None
            if epoch.test.accuracy > max((e.test.accuracy for e in state.history if e.epoch > network), default=-1.0):
                state.best = plain_weights(model)
            state.history.append(epoch)
            state.parts = [*earlier, (number, here)]
            if checkpoint:
                checkpoints.save(checkpoint, experiment.key, model, optimizer, state)
            if number in states and not states[number].exists():
                checkpoints.save(states[number], experiment.prefix(number), model, optimizer, state)
            if on_epoch:
                on_epoch(epoch)
            start = time.perf_counter()
    except KeyboardInterrupt:
        kept = "run it again to continue" if checkpoint else "its history is kept in this exception"
        message = f"Stopped after {state.done} of {experiment.epochs} epochs; {kept}."
        raise Interrupted(message, state.history) from None

    if logits is None:  # the checkpoint held every epoch
        logits = predict(model, test.images, experiment.precision, dataset)
    final = evaluate(model, training, experiment.precision, dataset)
    record = Record(
        experiment=experiment,
        key=experiment.key,
        numerics=NUMERICS_VERSION,
        counts=counts,
        history=state.history,
        wall_time=sum(epoch.seconds for epoch in state.history),
        finished=datetime.now(UTC).isoformat(timespec="seconds"),
        machine=state.parts[-1][1] or here,  # not known in older checkpoints
        parts=state.parts if len(state.parts) > 1 else [],
        lib=lib.__version__,
        data_digest=dataset.digest,
        origin=origin,
        final_train_correct=[row[k] for k, row in enumerate(final.confusion)],
    )
    parts = {"test": logits}
    if validation:
        parts["validation"] = predict(model, validation.images, experiment.precision, dataset)
    stored = {name: part.clamp(-65504, 65504).half().cpu() for name, part in parts.items()}  # what float16 can hold
    last = plain_weights(model)
    output = {name.removeprefix("output."): value for name, value in last.items() if name.startswith("output.")}
    return record, {"best": state.best, "last": last, "output": output, "logits": stored}


@torch.random.fork_rng(devices=[])
def train_epoch(
    model: nn.Module,
    optimizer: torch.optim.SGD,
    loss: losses.Loss,
    training: ImageSet,
    dataset: Dataset,
    experiment: Experiment,
    number: int,
    on_step: OnStep | None = None,
) -> tuple[float, list[int], float]:
    """Train epoch `number`, from 1; the device is asked for its results once, at the end.

    Returns the mean loss over the images, the images classified correctly by class [C], and the last learning rate.
    """
    torch.manual_seed(experiment.seed << 20 | number)  # for dropout, or a loss that draws: a function of (seed, epoch)
    model.train(number <= experiment.scheduled)  # frozen features have frozen statistics of batch normalisation
    on = training.labels.device
    steps = math.ceil(len(training) / experiment.batch_size)
    batch_losses, outputs, targets = [], [], []
    for step, (images, labels) in enumerate(training_batches(training, dataset, experiment, number)):
        if on_step and on_step(number, step * experiment.batch_size, len(training)):
            raise KeyboardInterrupt
        rate = learning_rate(experiment, (number - 1) * steps + step, steps)
        for group in optimizer.param_groups:
            group["lr"] = rate
        partner, share = labels, 1.0
        if experiment.mixup:
            images, mate, share = mix(images, experiment.mixup, experiment.seed, number, step)
            partner = labels[mate]
        with autocast(on, experiment.precision):
            logits = model(images)
        batch_loss = loss(logits, labels, number)
        if experiment.mixup:
            batch_loss = share * batch_loss + (1 - share) * loss(logits, partner, number)
        optimizer.zero_grad(set_to_none=True)
        batch_loss.backward()
        optimizer.step()
        batch_losses.append(batch_loss.detach())
        outputs.append(logits.detach())
        targets.append(labels)
    all_losses = torch.stack(batch_losses)
    if len(bad := (~all_losses.isfinite()).nonzero()):
        what = f"loss became {all_losses[bad[0]].item()} in epoch {number}, step {int(bad[0]) + 1} of {steps}"
        raise _diverged(what, experiment)
    sizes = torch.full((steps,), float(experiment.batch_size), device=on)
    sizes[-1] = len(training) - (steps - 1) * experiment.batch_size
    mean_loss = (all_losses * sizes).sum() / sizes.sum()
    answers, labels = torch.cat(outputs).argmax(1), torch.cat(targets)
    correct = torch.bincount(labels[answers == labels], minlength=outputs[0].shape[1])
    return mean_loss.item(), correct.tolist(), rate


def _diverged(what: str, experiment: Experiment) -> Diverged:
    settings = ", ".join(f"{name} {value}" for name, value in experiment.model_dump(exclude_defaults=True).items())
    return Diverged(f"Training diverged: the {what}. Try a lower learning rate. The settings were: {settings}.")
