"""This project's loop, one change at a time from the plain one."""

from collections.abc import Iterator
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.task import Contender, Task
from lib import losses
from lib.data import ImageSet
from lib.system.memory import keep_freed_memory
from lib.training.batches import training_batches
from lib.training.loop import train_epoch
from lib.training.optimizer import autocast, make_optimizer


class Steps(Contender):
    """A loop with this project's batches, and as much of the rest as is switched on.

    Args:
        read_every_step: loss and accuracy as numbers at every step, as in the plain loop.
        channels_last: layout of images and weights.
        precision: "float32" or "bfloat16".
        fused: one kernel for all parameters in the optimiser.
        keep_memory: see lib.system.memory.
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
        self.moved = ImageSet(self.images.images.to(self.on), self.images.labels.to(self.on))
        self.batches = self._batches()
        self.losses = self.correct = 0.0
        self.history: list[Tensor] = []

    def train(self, images: int) -> None:
        self.model.train()
        while images > 0:
            inputs, targets = next(self.batches)
            with autocast(self.on, self.experiment.precision):
                outputs = self.forward(inputs.contiguous(memory_format=self.layout))
            loss = F.cross_entropy(outputs.float(), targets)
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            self.optimizer.step()
            if self.read_every_step:
                self.losses += loss.item() * len(targets)
                self.correct += (outputs.argmax(1) == targets).sum().item()
            else:
                self.history.append(loss.detach())
            images -= len(targets)
        self.history.clear()
        self.wait()

    def _batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        epoch = 0
        while True:
            epoch += 1
            yield from training_batches(
                self.moved,
                self.dataset,
                batch_size=self.task.batch_size,
                seed=self.seed,
                epoch=epoch,
                augmentation=True,
            )


class Whole(Contender):
    """The training loop as every run of this project uses it."""

    def __init__(self, task: Task, seed: int = 0, *, precision: str = "float32"):
        super().__init__(task, seed)
        keep_freed_memory()
        self.experiment = task.experiment(seed=seed, precision=precision)
        self.model.to(memory_format=torch.channels_last)
        self.optimizer = make_optimizer(self.model, self.experiment)
        counts = torch.bincount(self.images.labels, minlength=len(self.dataset.classes)).tolist()
        self.loss = losses.build("cross_entropy", counts=counts, device=self.on)
        self.moved = self.images.to(self.on)
        self.epoch = 0

    def train(self, images: int) -> None:
        while images > 0:
            self.epoch += 1
            part = self._part(images)
            train_epoch(self.model, self.optimizer, self.loss, part, self.dataset, self.experiment, self.epoch)
            images -= len(part)
        self.wait()

    def _part(self, images: int) -> ImageSet:
        """Every k-th image, each turn from another start: of all classes, and not in the cache from the last turn."""
        every = max(1, len(self.images) // images)
        chosen = slice(self.epoch % every, None, every)
        return ImageSet(self.moved.images[chosen][:images], self.moved.labels[chosen][:images])


class Bare(Whole):
    """The steps of the whole loop on one fixed batch: no data path, nothing noted."""

    @cached_property
    def batch(self) -> tuple[Tensor, Tensor]:
        """The first one; not views of its whole block."""
        size = self.task.batch_size
        images, labels = next(
            training_batches(
                self._part(size), self.dataset, batch_size=size, seed=self.seed, epoch=1, augmentation=True
            )
        )
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
