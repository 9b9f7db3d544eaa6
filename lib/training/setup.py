"""What a run starts from: images, weights, optimiser."""

import math

import numpy as np
import torch
from torch import nn

from lib import data
from lib.data import Dataset, ImageSet
from lib.experiment import Experiment


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


def to_device(images: ImageSet, on: torch.device) -> ImageSet:
    """The same images there; on a CPU still views into the mapped file."""
    return ImageSet(images.images.to(on), images.labels.to(on))


def start_as_rare(model: nn.Module) -> None:
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
