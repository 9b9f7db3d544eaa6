"""One run, from an experiment to its record: batches, optimiser, loop, evaluation and checkpoints."""

from lib.training.batches import training_part
from lib.training.loop import Diverged, Interrupted, train
from lib.training.optimizer import build_model
from lib.training.results import Epoch, Evaluation, Record, Weights

__all__ = ["Diverged", "Epoch", "Evaluation", "Interrupted", "Record", "Weights", "build_model", "train"]
__all__ += ["training_part"]
