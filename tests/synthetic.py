"""Records that say what a test wants them to say."""

import zlib

import numpy as np
from conftest import small

from lib import published
from lib.training import Epoch, Evaluation, Record

CLAIMED = published.figures()


def evaluation(accuracies):
    """These accuracies by class, of 1,000 images each."""
    hits = np.round(1000 * np.broadcast_to(accuracies, 10)).astype(int)
    confusion = np.diag(hits)
    confusion[np.arange(10), (np.arange(10) + 1) % 10] += 1000 - hits
    return Evaluation(loss=1.0, confusion=confusion.tolist(), calibration_error=0.1)


def record(seed, accuracies, train=0.9, validation=None, held_out=0.0, **fields):
    """A run of one epoch with these accuracies by class, of 1,000 test images each."""
    epoch = Epoch(
        epoch=1,
        learning_rate=0.1,
        train_loss=1.0,
        train_accuracy=0.5,
        train_hits=np.round(np.broadcast_to(train, 10) * CLAIMED["counts"]).astype(int).tolist(),
        test=evaluation(accuracies),
        validation=None if validation is None else evaluation(validation),
        seconds=1.0,
        images_per_second=1.0,
    )
    experiment = small(seed=seed, epochs=1, validation=held_out, **fields)
    return Record(
        experiment=experiment,
        key=experiment.key,
        numerics=1,
        counts=CLAIMED["counts"],
        history=[epoch],
        wall_time=1.0,
        finished="2001-01-01",
        machine={},
        lib="0",
        data_digest="",
    )


def runs(accuracies, train=0.9, seeds=4, jitter=0.002, **fields):
    """Runs around these accuracies; the seeds differ from one another and are paired between settings."""
    accuracies = np.broadcast_to(accuracies, 10)
    shared = np.random.default_rng(0).normal(0, 0.01, seeds)
    own = np.random.default_rng(zlib.crc32(accuracies.tobytes())).normal(0, jitter, seeds)
    shifted = np.clip(accuracies + (shared + own)[:, None], 0.001, 1)
    return {s: record(s, np.where(accuracies > 0, shifted[s], 0), train, **fields) for s in range(seeds)}
