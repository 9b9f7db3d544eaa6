"""The results of a training run."""

import numpy as np
import torch
from pydantic import BaseModel
from torch import Tensor, nn

from lib.experiment import Experiment

#: Model weights by name, float tensors on the CPU.
Weights = dict[str, Tensor]


def plain_weights(model: nn.Module) -> Weights:
    """A copy on the CPU in the plain layout: it can be stored, and further steps leave it alone."""
    return {
        name: value.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
        for name, value in model.state_dict().items()
    }


class Evaluation(BaseModel, frozen=True, extra="forbid"):
    """Result of a model on one set of images."""

    loss: float  # mean softmax cross-entropy in nats, whatever loss was trained
    confusion: list[list[int]]  # images by true class (row) and predicted class (column), [C][C]
    calibration_error: float  # expected calibration error, 15 equal bins of confidence (Guo et al. 2017)

    @property
    def per_class(self) -> np.ndarray:
        """Accuracy of each class (its recall), [C], fractions; NaN for a class without images."""
        confusion = np.asarray(self.confusion, dtype=float)
        with np.errstate(invalid="ignore"):
            return confusion.diagonal() / confusion.sum(axis=1)

    @property
    def accuracy(self) -> float:
        """Share of images classified correctly."""
        confusion = np.asarray(self.confusion)
        return float(confusion.trace() / confusion.sum())


class Epoch(BaseModel, frozen=True, extra="forbid"):
    """Result of one pass over the training images, and of the model after it."""

    epoch: int  # from 1
    learning_rate: float  # of its last step
    train_loss: float  # mean of the trained loss over the steps, as the weights moved
    train_accuracy: float  # on the augmented images, as the weights moved
    train_hits: list[int] | None = None  # of them by class, [C]; None in records from before this was kept
    test: Evaluation
    validation: Evaluation | None = None
    seconds: float  # training and evaluation
    images_per_second: float  # training alone


class Record(BaseModel, frozen=True, extra="forbid"):
    """A finished run: its experiment, its epochs, and the machine that trained it."""

    experiment: Experiment
    key: str
    numerics: int
    counts: list[int]  # training images per class, after the validation split
    history: list[Epoch]
    wall_time: float  # seconds, summed over the epochs
    finished: str  # ISO 8601, UTC
    machine: dict[str, str | int]
    lib: str  # version of this library
    data_digest: str  # of the data set it was trained on
    origin: str = ""  # the parameter file that first asked for it
    # Training images classified correctly after the last epoch, by class, [C]: one more pass with fixed weights and
    # without augmentation. None in records from before this was kept.
    final_train_correct: list[int] | None = None

    def train_per_class(self, epoch: Epoch) -> np.ndarray:
        """Training accuracy of each class in an epoch of this run, [C], as `Epoch.train_accuracy`; NaN if not kept."""
        counts = np.asarray(self.counts, dtype=float)
        return np.full_like(counts, np.nan) if epoch.train_hits is None else np.asarray(epoch.train_hits) / counts

    @property
    def best(self) -> Epoch:
        """The write-up's rule: the epoch of the highest test accuracy, the first of equals."""
        return max(self.history, key=lambda epoch: epoch.test.accuracy)

    @property
    def last(self) -> Epoch:
        """The clean rule: the last epoch, whatever the test set says."""
        return self.history[-1]
