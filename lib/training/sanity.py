"""A check to make before believing any training: can the model memorise a few images?"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F

from lib import models
from lib.data import ImageSet
from lib.training.batches import normalise


def memorise(name: str, data: ImageSet, seed: int = 0, steps: int = 300, rate: float = 1e-3) -> Sequence[float]:
    """Accuracy on a handful of images while a fresh model is trained on them alone, all in every step.

    A model and a loop that are sound reach 1.0; one that cannot has a fault that no amount of data mends.

    Args:
        data: the images; about 50.

    Returns:
        Accuracy before the first step and after each: fractions. Ends as soon as it is 1.0.
    """
    model = models.build(name, seed)
    optimizer = torch.optim.Adam(model.parameters(), lr=rate)
    images = normalise(data.images)
    accuracies = []
    for step in range(steps + 1):
        logits = model(images)
        accuracies.append((logits.argmax(1) == data.labels).float().mean().item())
        if step == steps or accuracies[-1] == 1:
            break
        optimizer.zero_grad(set_to_none=True)
        F.cross_entropy(logits, data.labels).backward()
        optimizer.step()
    return accuracies
