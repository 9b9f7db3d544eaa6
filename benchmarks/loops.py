"""The task that every loop of the comparison is given, and this project's loop, one change at a time."""

import itertools
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import psutil
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lib import data, losses, models
from lib.data import Dataset, ImageSet
from lib.experiment import Experiment
from lib.system.device import keep_freed_memory
from lib.training.batches import training_batches, training_part
from lib.training.evaluation import evaluate
from lib.training.loop import train_epoch
from lib.training.optimizer import autocast, make_optimizer


@dataclass(frozen=True)
class Task:
    """Cross-entropy on the long-tailed training set, SGD with the write-up's settings at a constant learning rate."""

    model: str = "ConvNet"
    batch_size: int = 32
    dataset: str = "cifar10"
    factor: float = 0.01  # of the long tail; 1 is the whole set

    def experiment(self, **fields) -> Experiment:
        """The task as an experiment of this project."""
        own = {"data": self.dataset, "model": self.model, "batch_size": self.batch_size, "factor": self.factor}
        return Experiment.make(**own, **{"imbalance": "exponential", "epochs": 10**6, "steps": [], **fields})


class Contender(ABC):
    """A training loop whose model keeps its weights from one call to the next."""

    def __init__(self, task: Task, seed: int = 0):
        self.task = task
        self.seed = seed
        self.on = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.model: nn.Module = models.build(task.model, seed, len(data.classes(task.dataset))).to(self.on)

    @cached_property
    def dataset(self) -> Dataset:
        """Loaded once, as in a run: every load verifies the whole file."""
        return data.load(self.task.dataset)

    @cached_property
    def images(self) -> ImageSet:
        """The training images."""
        return training_part(self.dataset, self.task.experiment())[0]

    @cached_property
    def test(self) -> ImageSet:
        return self.dataset.test.to(self.on)

    @abstractmethod
    def train(self, images: int) -> None:
        """Take steps on about so many images; returns when the device is done."""

    def accuracy(self, epochs: int) -> float:
        """Train for so many epochs and return the test accuracy, measured in the same way for every loop."""
        self.train(epochs * len(self.images))
        self.wait()
        model = self.model.to(self.on, memory_format=torch.channels_last)
        return evaluate(model, self.test, "float32", self.dataset).accuracy

    def memory(self) -> dict[str, int]:
        """Memory of this process in bytes: resident with mapped files, private to it, and the peak of resident."""
        used = psutil.Process().memory_full_info()
        return {"resident": used.rss, "private": used.uss, "peak": _peak_resident()}

    def wait(self) -> None:
        """Wait until the device has done its work."""
        if self.on.type == "cuda":
            torch.cuda.synchronize()


class Steps(Contender):
    """A loop with this project's batches, and as much of the rest as is switched on.

    Args:
        read_every_step: loss and accuracy as numbers at every step, as in the plain loop.
        channels_last: layout of images and weights.
        precision: "float32" or "bfloat16".
        fused: one kernel for all parameters in the optimiser.
        keep_memory: see lib.system.device.
        compiled: the model through torch.compile.
    """

    def __init__(
        self,
        task: Task,
        seed: int = 0,
        *,
        read_every_step: bool = False,
        channels_last: bool = True,
        precision: str = "float32",
        fused: bool = True,
        keep_memory: bool = True,
        compiled: bool = False,
    ):
        super().__init__(task, seed)
        self.experiment = task.experiment(seed=seed, precision=precision)
        self.layout = torch.channels_last if channels_last else torch.contiguous_format
        self.model.to(memory_format=self.layout)
        self.forward = torch.compile(self.model) if compiled else self.model
        self.optimizer = make_optimizer(self.model, self.experiment, fused=fused)
        self.read_every_step = read_every_step
        if keep_memory:
            keep_freed_memory()
        self.batches = self._batches()
        self.losses = self.correct = 0.0
        self.history: list[Tensor] = []

    def train(self, images: int) -> None:
        self.model.train()
        while images > 0:
            inputs, targets = next(self.batches)
            with self._autocast():
                outputs = self.forward(inputs.contiguous(memory_format=self.layout))
            loss = F.cross_entropy(outputs.float(), targets)
            if self.read_every_step:
                self.losses += loss.item() * len(targets)
                self.correct += (outputs.argmax(1) == targets).sum().item()
            else:
                self.history.append(loss.detach())
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            self.optimizer.step()
            images -= len(targets)
        self.history.clear()
        self.wait()

    def _autocast(self) -> torch.autocast:
        return autocast(self.on, self.experiment.precision)

    def _batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        training = self.images.to(self.on)
        for epoch in itertools.count(1):
            yield from training_batches(training, self.dataset, self.experiment, epoch)


class Whole(Contender):
    """The training loop as every run of this project uses it."""

    def __init__(self, task: Task, seed: int = 0, *, precision: str = "float32"):
        super().__init__(task, seed)
        keep_freed_memory()
        self.experiment = task.experiment(seed=seed, precision=precision)
        self.model.to(memory_format=torch.channels_last)
        self.optimizer = make_optimizer(self.model, self.experiment)
        counts = self.images.counts(len(self.dataset.classes))
        self.loss = losses.build("cross_entropy", counts=counts, device=self.on)
        self.training = self.images.to(self.on)
        self.epoch = 0

    def train(self, images: int) -> None:
        while images > 0:
            self.epoch += 1
            part = self._part(images)
            train_epoch(self.model, self.optimizer, self.loss, part, self.dataset, self.experiment, self.epoch)
            images -= len(part)
        self.wait()

    def evaluate(self) -> None:
        """Evaluate on the test set, as after every epoch of a run."""
        evaluate(self.model, self.test, self.experiment.precision, self.dataset)
        self.wait()

    def _part(self, images: int) -> ImageSet:
        """Every k-th image, each turn from another start: of all classes, and not in the cache from the last turn."""
        every = max(1, len(self.images) // images)
        chosen = slice(self.epoch % every, None, every)
        return ImageSet(self.training.images[chosen][:images], self.training.labels[chosen][:images])


class Bare(Whole):
    """The steps of the whole loop on one fixed batch: no data path, no statistics."""

    @cached_property
    def batch(self) -> tuple[Tensor, Tensor]:
        """The first batch, copied: as views it would keep its whole block."""
        first = self._part(self.task.batch_size)
        images, labels = next(training_batches(first, self.dataset, self.experiment, 1))
        return images.clone(), labels.clone()

    def train(self, images: int) -> None:
        self.model.train()
        inputs, targets = self.batch
        for _ in range(-(-images // self.task.batch_size)):
            with autocast(self.on, self.experiment.precision):
                outputs = self.model(inputs)
            loss = self.loss(outputs, targets)
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            self.optimizer.step()
        self.wait()


def _peak_resident() -> int:
    """Return the most physical memory that this process has held, in bytes."""
    status = Path("/proc/self/status")
    if status.exists():
        # Not getrusage: on Linux a process starts with the peak of the one that it was forked from.
        lines = dict(line.split(":", 1) for line in status.read_text("utf-8", "replace").splitlines())
        return int(lines["VmHWM"].split()[0]) * 1024
    import resource  # not on Windows

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
