"""Experiment in, record out: batches, schedule, the loop and evaluation."""

from lib.training.loop import Interrupted, train
from lib.training.outcome import Diverged
from lib.training.results import Epoch, Evaluation, Record, Weights

__all__ = ["Diverged", "Epoch", "Evaluation", "Interrupted", "Record", "Weights", "train"]
