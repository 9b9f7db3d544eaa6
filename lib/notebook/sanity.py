"""A check before any training is believed: a sound model and loop memorise a few images."""

from dataclasses import replace

import torch

from lib.data import Dataset
from lib.experiment import Experiment
from lib.training.loop import train


def memorise(experiment: Experiment, dataset: Dataset, images: int = 50) -> list[float]:
    """Return the accuracy on a few training images, by epoch of a fresh model that is trained on them alone.

    Model, loss, optimiser and loop are those of every run. If they are sound, the accuracy reaches 1.0; if it
    cannot, there is a fault that no amount of data mends. There are as many images of each class, in full batches of
    10 and without augmentation.
    """
    labels, each = dataset.train.labels, images // len(dataset.classes)
    few = dataset.train.take(torch.cat([(labels == k).nonzero().flatten()[:each] for k in range(len(dataset.classes))]))
    check = experiment.replace(
        imbalance="none", augmentation=False, epochs=80, batch_size=10, schedule="one_cycle", learning_rate=0.02
    )
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # ten images at a time are too few to share
    try:
        record, _ = train(check, replace(dataset, train=few, test=few, name=f"{images} images"))
    finally:
        torch.set_num_threads(threads)
    return [epoch.test.accuracy for epoch in record.history]
