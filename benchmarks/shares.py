"""Where an epoch's time goes: steps, data path, evaluation."""

import time
from collections.abc import Callable
from functools import cached_property, partial

import pandas as pd

from benchmarks.ladder import Bare, Whole
from benchmarks.process import Process
from benchmarks.task import Task
from lib.data import ImageSet
from lib.training.evaluation import evaluate


class Evaluated(Whole):
    """The whole loop, which can also be asked to evaluate."""

    @cached_property
    def test(self) -> ImageSet:
        return self.dataset.test.to(self.on)

    def evaluate(self) -> None:
        evaluate(self.model, self.test, self.experiment.precision, self.dataset)
        self.wait()


def shares(task: Task, *, threads: int, precision: str, images: int, repeats: int) -> pd.DataFrame:
    """Seconds of an epoch and of its parts, measured in turns.

    Args:
        images: of one measurement of the training.

    Returns:
        One row per repeat: `bare` (steps on one fixed batch), `epoch` (the same number of steps of a whole
        epoch), both in seconds per image, and `evaluation` in seconds for the whole test set.
    """
    with (
        Process(partial(Bare, task, precision=precision), threads) as bare,
        Process(partial(Evaluated, task, precision=precision), threads) as whole,
    ):
        parts: dict[str, Callable[[], object]] = {
            "bare": lambda: bare.ask("train", images),
            "epoch": lambda: whole.ask("train", images),
            "evaluation": lambda: whole.ask("evaluate"),
        }
        for part in parts.values():
            part()  # what is allocated at first is not measured
        samples = [{name: _seconds(part) for name, part in parts.items()} for _ in range(repeats)]
    frame = pd.DataFrame(samples)
    return frame.assign(bare=frame.bare / images, epoch=frame.epoch / images)


def _seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start
