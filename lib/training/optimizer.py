"""Model of a run, SGD with momentum, its learning rate as a function of the step, and the arithmetic's precision."""

import math

import torch
from torch import nn

from lib import models
from lib.experiment import Experiment
from lib.losses import LOSSES, SCALE

#: One-cycle (Smith & Topin 2018, arXiv:1708.07120), with the rates of torch's OneCycleLR; momentum stays.
_RISE = 0.3  # share of the steps before the peak
_START = 25.0  # peak / first rate
_END = 1e4  # first rate / last rate


def build_model(experiment: Experiment, classes: int) -> nn.Module:
    """Return an experiment's model with its initial weights, and the last layer that its loss needs."""
    kind = LOSSES[experiment.loss]
    model = models.build(experiment.model, experiment.seed, classes, cosine=SCALE if kind.cosine else 0.0)
    if kind.sigmoid:
        start_as_rare(model)
    return model


def make_optimizer(model: nn.Module, experiment: Experiment, fused: bool = True) -> torch.optim.SGD:
    """SGD with momentum; no weight decay on the output bias under a sigmoid loss. `fused`: the same numbers, sooner."""
    exempt = [model.get_parameter("output.bias")] if LOSSES[experiment.loss].sigmoid else []
    decayed = [p for p in model.parameters() if all(p is not e for e in exempt)]
    groups = [{"params": decayed, "weight_decay": experiment.weight_decay}, {"params": exempt, "weight_decay": 0.0}]
    return torch.optim.SGD(
        groups, lr=experiment.learning_rate, momentum=experiment.momentum, nesterov=experiment.nesterov, fused=fused
    )


def freeze(model: nn.Module, optimizer: torch.optim.SGD, experiment: Experiment, classes: int, new: bool) -> None:
    """Freeze all but the last layer; `new`: from its first weights, no momentum (cRT, Kang et al. 2020, 1910.09217)."""
    model.requires_grad_(False)
    model.get_submodule("output").requires_grad_(True)
    if new:
        fresh = build_model(experiment, classes).get_submodule("output")
        model.get_submodule("output").load_state_dict(fresh.state_dict())
        for parameter in model.get_submodule("output").parameters():
            optimizer.state.pop(parameter, None)


def start_as_rare(model: nn.Module) -> None:
    """Set the output bias to -log(C - 1): every sigmoid starts at 1 / C (Cui et al. 2019, section 5.1)."""
    bias = model.get_parameter("output.bias")
    nn.init.constant_(bias, -math.log(len(bias) - 1))


def learning_rate(experiment: Experiment, step: int, steps_per_epoch: int) -> float:
    """Learning rate of a step, counted from 0 over the whole run."""
    epoch = step // steps_per_epoch + 1
    if epoch > experiment.scheduled:  # of the last layer alone (Kang et al. 2020)
        first, end = (n * steps_per_epoch for n in (experiment.scheduled, experiment.epochs))
        return _cosine(experiment.learning_rate, 0.0, (step - first) / (end - first))
    if experiment.schedule == "one_cycle":
        return _one_cycle(experiment.learning_rate, step, experiment.scheduled * steps_per_epoch)
    if epoch <= experiment.warmup:
        return experiment.learning_rate * epoch / experiment.warmup
    return experiment.learning_rate * experiment.decay ** sum(epoch > milestone for milestone in experiment.steps)


def _cosine(start: float, end: float, share: float) -> float:
    return end + (start - end) / 2 * (1 + math.cos(math.pi * share))


def _one_cycle(peak: float, step: int, steps: int) -> float:
    top, last = _RISE * steps - 1, steps - 1
    if step <= top:
        return _cosine(peak / _START, peak, step / top)
    return _cosine(peak, peak / _START / _END, (step - top) / (last - top)) if last > top else peak


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """Context that computes convolutions and matrix products in bfloat16; does nothing for float32.

    float32 means float32: on CUDA, torch would otherwise round the inputs of convolutions to TF32's 10 bits.
    """
    torch.backends.cudnn.allow_tf32 = False
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bfloat16")
