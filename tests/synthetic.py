"""Records with the values that a test asks for."""

import zlib

import numpy as np
from conftest import small

from lib.analysis import original
from lib.training import Epoch, Evaluation, Record

CLAIMED = original.figures()


def evaluation(accuracies):
    """These accuracies by class, of 1,000 images each."""
    hits = np.round(1000 * np.broadcast_to(accuracies, 10)).astype(int).clip(0, 1000)
    confusion = np.diag(hits)
    confusion[np.arange(10), (np.arange(10) + 1) % 10] += 1000 - hits
    return Evaluation(loss=1.0, confusion=confusion.tolist(), calibration_error=0.1)


#: Counts on which every published beta but the smallest has weights of its own.
FEW_IMAGES = [40, 30, 20, 12, 8, 6, 5, 4, 3, 2]


def record(seed, accuracies, train=0.9, validation=None, held_out=0.0, best=0.99, counts=None, **fields):
    """A run of two epochs with these accuracies by class in the last one, of 1,000 test images each.

    Args:
        best: the accuracies of the first epoch, which is the best one where they are higher. By default equal for all
            settings, so that the wrong epoch shows no difference.
    """
    counts = counts or CLAIMED["counts"]

    def epoch(number, reached):
        return Epoch(
            epoch=number,
            learning_rate=0.1,
            train_loss=1.0,
            train_accuracy=0.5,
            train_hits=np.round(np.broadcast_to(train, 10) * counts).astype(int).tolist(),
            test=evaluation(reached),
            validation=None if validation is None else evaluation(validation if number == 2 else 0.5),
            seconds=1.0,
            images_per_second=1.0,
        )

    experiment = small(seed=seed, epochs=2, validation=held_out, **fields)
    return Record(
        experiment=experiment,
        key=experiment.key,
        numerics=1,
        counts=counts,
        history=[epoch(1, best), epoch(2, accuracies)],
        wall_time=1.0,
        finished="2001-01-01",
        machine={},
        lib="0",
        data_digest="",
        final_train_correct=np.round(np.broadcast_to(train, 10) * counts).astype(int).tolist(),
    )


def runs(accuracies, train=0.9, seeds=4, jitter=0.002, at="last", **fields):
    """Runs around these accuracies; the seeds differ from one another.

    Args:
        at: the epoch that has them: "last", or "best", with a last one that is flat.
    """
    accuracies = np.broadcast_to(accuracies, 10)
    own = np.random.default_rng(zlib.crc32(accuracies.tobytes())).normal(0, jitter, seeds)
    shifted = np.clip(accuracies + own[:, None], 0.001, 1)
    reached = [np.where(accuracies > 0, shifted[s], 0) for s in range(seeds)]
    if at == "best":
        return {s: record(s, 0.01, train, best=reached[s], **fields) for s in range(seeds)}
    return {s: record(s, reached[s], train, **fields) for s in range(seeds)}
