"""What every contender of a comparison is asked to do."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import nn

from lib import data, models
from lib.data import Dataset, ImageSet
from lib.experiment import Experiment
from lib.system.memory import peak_resident
from lib.training.batches import training_part
from lib.training.evaluation import evaluate


@dataclass(frozen=True)
class Task:
    """Cross-entropy on the long-tailed training set, SGD with the write-up's settings at a constant rate."""

    model: str = "ConvNet"
    batch_size: int = 32
    dataset: str = "cifar10"
    factor: float = 0.01  # of the long tail; 1 is the whole set

    def experiment(self, **fields) -> Experiment:
        """The same as an experiment of this project."""
        return Experiment.make(
            data=self.dataset,
            model=self.model,
            batch_size=self.batch_size,
            factor=self.factor,
            **{"imbalance": "exponential", "epochs": 10**6, "steps": [], **fields},
        )


class Contender(ABC):
    """A way to train, with a model that keeps its weights from one call to the next."""

    def __init__(self, task: Task, seed: int = 0):
        self.task = task
        self.seed = seed
        self.on = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.model: nn.Module = models.build(task.model, seed).to(self.on)

    @cached_property
    def images(self) -> ImageSet:
        """The training images."""
        return training_part(self.dataset, self.task.experiment())[0]

    @cached_property
    def dataset(self) -> Dataset:
        """Loaded once, as in a run: every loading verifies the whole file."""
        return data.load(self.task.dataset)

    @abstractmethod
    def train(self, images: int) -> None:
        """Take steps on about so many images; returns when they are done."""

    def accuracy(self, epochs: int) -> float:
        """Train for so many epochs; the test accuracy then, measured in the same way for everybody."""
        self.train(epochs * len(self.images))
        self.wait()
        test = self.dataset.test.to(self.on)
        model = self.model.to(self.on, memory_format=torch.channels_last)
        return evaluate(model, test, "float32", self.dataset).accuracy

    def peak_resident(self) -> int:
        """The most physical memory this process has held, in bytes."""
        return peak_resident()

    def wait(self) -> None:
        """Until the device has done what it was told."""
        if self.on.type == "cuda":
            torch.cuda.synchronize()
