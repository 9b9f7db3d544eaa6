"""Experiment in, record out: batches, schedule, the loop and evaluation."""

from lib.training.loop import Diverged, Interrupted, train
from lib.training.results import Epoch, Evaluation, Record, Weights

__all__ = ["Diverged", "Epoch", "Evaluation", "Interrupted", "Record", "Weights", "train"]
