"""The learning rate as a pure function of the step."""

import math

from lib.experiment import Experiment

#: One-cycle (Smith & Topin 2018, arXiv:1708.07120), with the rates of torch's OneCycleLR; momentum stays.
_RISE = 0.3  # share of the steps before the peak
_START = 25.0  # peak / first rate
_END = 1e4  # first rate / last rate


def learning_rate(experiment: Experiment, step: int, steps_per_epoch: int) -> float:
    """Learning rate of a step, counted from 0 over the whole run."""
    if experiment.schedule == "one_cycle":
        return _one_cycle(experiment.learning_rate, step, experiment.epochs * steps_per_epoch)
    return _stepwise(experiment, epoch=step // steps_per_epoch + 1)


def _stepwise(experiment: Experiment, epoch: int) -> float:
    """The write-up's rule: linear warm-up, then ten-fold less after each of `steps`; `epoch` from 1."""
    if epoch <= experiment.warmup:
        return experiment.learning_rate * epoch / experiment.warmup
    return experiment.learning_rate * 0.1 ** sum(epoch > step for step in experiment.steps)


def _one_cycle(peak: float, step: int, steps: int) -> float:
    def cosine(start: float, end: float, share: float) -> float:
        return end + (start - end) / 2 * (1 + math.cos(math.pi * share))

    top, last = _RISE * steps - 1, steps - 1
    if step <= top:
        return cosine(peak / _START, peak, step / top)
    return cosine(peak, peak / _START / _END, (step - top) / (last - top)) if last > top else peak
