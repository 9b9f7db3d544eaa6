"""The results of a training run."""

from datetime import datetime
from typing import Annotated

import numpy as np
import pandas as pd
import torch
from pydantic import AfterValidator, BaseModel, Field, model_validator
from torch import Tensor, nn

from lib import data
from lib.experiment import Experiment
from lib.system.errors import clipped

Weights = dict[str, Tensor]  # model weights by name, float tensors on the CPU

Count = Annotated[int, Field(ge=0, lt=2**53)]
Positive = Annotated[int, Field(ge=1, lt=2**53)]
Nonnegative = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
#: One line that is safe on a terminal, whoever wrote it.
Text = Annotated[str, AfterValidator(lambda text: clipped(text, 5000))]


def plain_weights(model: nn.Module) -> Weights:
    """A copy on the CPU in the plain layout: it can be stored, and further steps leave it alone."""
    return {
        name: value.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
        for name, value in model.state_dict().items()
    }


Machine = dict[Text, Text | int]  # as `lib.system.device.describe` gives it
Part = tuple[Positive, Machine]  # of a run: the last epoch, and the machine; {} where it was not kept
_TIME = r"^\d{4}-\d\d-\d\d(T\d\d:\d\d:\d\d[+]00:00)?$"  # ISO 8601, UTC


class Evaluation(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """Result of a model on one set of images."""

    loss: Nonnegative  # mean softmax cross-entropy in nats, whatever loss was trained
    confusion: list[list[Count]]  # images by true class (row) and predicted class (column), [C][C]
    calibration_error: Share  # expected calibration error, 15 equal bins of confidence (Guo et al. 2017)

    @model_validator(mode="after")
    def _square(self) -> "Evaluation":
        if {len(row) for row in self.confusion} != {len(self.confusion)} or not np.sum(self.confusion):
            raise ValueError("the confusion matrix has to be square, with an image in it")
        return self

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


class Epoch(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """Result of one evaluated pass over the training images, and of the model after it."""

    epoch: Positive
    learning_rate: Nonnegative  # of its last step
    train_loss: Nonnegative  # mean of the trained loss over the images, as the weights moved
    train_accuracy: Share  # on the augmented images, of mixed ones for the first label, as the weights moved
    train_hits: list[Count] | None = None  # of them by class, [C]; None in records from before this was kept
    test: Evaluation
    validation: Evaluation | None = None
    seconds: Nonnegative  # training since the last evaluated epoch, and evaluation
    images_per_second: Nonnegative  # training alone


class Record(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """A finished run: its experiment, its epochs, and the machine that trained it."""

    experiment: Experiment
    key: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
    numerics: Positive
    counts: list[Count]  # training images per class, [C], after the validation split
    history: list[Epoch]
    wall_time: Nonnegative  # seconds, summed over the epochs
    finished: Annotated[str, Field(pattern=_TIME), AfterValidator(lambda text: datetime.fromisoformat(text) and text)]
    machine: Machine
    #: Of a run that was resumed on another machine or with other threads: (last epoch, machine) of each part, in order.
    parts: list[Part] = []
    lib: Text  # version of this library
    data_digest: Text  # of the data set it was trained on
    origin: Text = ""  # the parameter file that first asked for it
    # Training images classified correctly after the last epoch, by class, [C]: one more pass with fixed weights and
    # without augmentation. None in records from before this was kept.
    final_train_correct: list[Count] | None = None

    @model_validator(mode="after")
    def _complete(self) -> "Record":
        if [epoch.epoch for epoch in self.history] != self.experiment.evaluated:
            raise ValueError(f"the history has to hold the evaluated epochs of 1 to {self.experiment.epochs}")
        if self.parts and self.parts[-1][0] != self.experiment.epochs:
            raise ValueError("its last part has to end with its last epoch")
        if not sum(self.counts) or len({int(np.sum(epoch.test.confusion)) for epoch in self.history}) != 1:
            raise ValueError("there have to be training images, and every epoch has to be tested on the same images")
        matrices = [e.confusion for epoch in self.history for e in (epoch.test, epoch.validation) if e]
        correct = [self.final_train_correct, *(epoch.train_hits for epoch in self.history)]
        if {len(rows) for rows in matrices} | {len(c) for c in correct if c is not None} != {len(self.counts)}:
            raise ValueError(f"everything has to be of the {len(self.counts)} classes of the training images")
        if any(np.greater(right, self.counts).any() for right in correct if right is not None):
            raise ValueError("more training images are correct than there are")
        return self

    def __repr__(self) -> str:
        return f"<Record {self.key} {self.experiment.title}: test {self.last.test.accuracy:.1%} at the last epoch>"

    __str__ = __repr__

    def frame(self) -> pd.DataFrame:
        """Return one row per epoch, with accuracies as fractions; those of a class are `test_<class>`, `train_<class>`.

        Training accuracies are on the augmented images, as the weights moved; `validation_` columns are there where
        images were held out.
        """
        names, rows = data.classes(self.experiment.data), []
        for epoch in self.history:
            tested = {"test": epoch.test} | ({"validation": epoch.validation} if epoch.validation else {})
            row = epoch.model_dump(exclude={"train_hits", *tested})
            for part, found in tested.items():
                row |= {f"{part}_loss": found.loss, f"{part}_accuracy": found.accuracy}
                row |= {f"{part}_{name}": share for name, share in zip(names, found.per_class, strict=True)}
            row |= {f"train_{name}": n for name, n in zip(names, self.train_per_class(epoch), strict=True)}
            rows.append(row)
        return pd.DataFrame(rows).drop(columns="validation", errors="ignore").set_index("epoch")

    def train_per_class(self, epoch: Epoch) -> np.ndarray:
        """Training accuracy of each class in an epoch of this run, [C], as `Epoch.train_accuracy`; NaN if not kept."""
        counts = np.asarray(self.counts, dtype=float)
        return np.full_like(counts, np.nan) if epoch.train_hits is None else np.asarray(epoch.train_hits) / counts

    @property
    def best(self) -> Epoch:
        """The write-up's rule: the epoch of the highest test accuracy, the first of equals."""
        network = self.experiment.retrain * self.experiment.deferred  # epochs of a model without the new last layer
        return max((e for e in self.history if e.epoch > network), key=lambda epoch: epoch.test.accuracy)

    @property
    def last(self) -> Epoch:
        """The clean rule: the last epoch, whatever the test set says."""
        return self.history[-1]
