"""The images that a run trains on, and batches of them from uint8 images that stay on the device.

An epoch's order, crops and flips are a pure function of (seed, epoch): stopping and resuming a run, or
training several side by side, cannot change what any of them sees.
"""

from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from lib import data
from lib.data import Dataset, ImageSet
from lib.experiment import Experiment

Batch = tuple[Tensor, Tensor]
PADDING = 4
#: Images are augmented in blocks of about this many: few enough to stay in the processor's cache, many
#: enough that the fixed cost of an operation does not show.
_BLOCK = 256


def training_part(dataset: Dataset, experiment: Experiment) -> tuple[ImageSet, ImageSet | None]:
    """The images that an experiment trains on, and those held out of its long-tailed subset for validation, if any."""
    labels = dataset.train.labels
    chosen, held_out = np.arange(len(labels)), None
    if experiment.imbalance != "none":
        chosen = data.long_tailed_indices(labels, experiment.factor, experiment.imbalance, experiment.subset_seed)
    if experiment.validation:
        kept, held = data.stratified_split(labels[chosen], experiment.validation, experiment.subset_seed)
        chosen, held_out = chosen[kept], chosen[held]
    everything = len(chosen) == len(labels)
    training = dataset.train if everything else dataset.train.take(torch.from_numpy(chosen))
    return training, None if held_out is None else dataset.train.take(torch.from_numpy(held_out))


def draw(seed: int, epoch: int, n: int) -> tuple[Tensor, Tensor, Tensor]:
    """Draw the order, crop offsets and flips of an epoch over n images: a function of its arguments alone.

    Returns a permutation, int64 [n]; row and column of the crop, int64 [n, 2] from 0 to 2 * PADDING; flips, bool [n].
    """
    rng = np.random.Generator(np.random.Philox(key=[seed, epoch]))
    order = rng.permutation(n)
    offsets = rng.integers(0, 2 * PADDING + 1, size=(n, 2))
    flips = rng.random(n) < 0.5
    return torch.from_numpy(order), torch.from_numpy(offsets), torch.from_numpy(flips)


def draw_by_class(seed: int, epoch: int, labels: Tensor) -> Tensor:
    """Draw as many positions as there are labels [N], int64 [N]: uniformly a class, then one of its images."""
    rng = np.random.Generator(np.random.Philox(key=[seed, epoch], counter=[0, 0, 1, 0]))  # another stream than `draw`'s
    by_class, counts = np.argsort(labels.numpy(), kind="stable"), np.bincount(labels.numpy())
    present = np.flatnonzero(counts)
    chosen = present[rng.integers(len(present), size=len(labels))]
    first = np.cumsum(counts) - counts
    return torch.from_numpy(by_class[first[chosen] + rng.integers(counts[chosen])])


def mix(images: Tensor, alpha: float, seed: int, epoch: int, step: int) -> tuple[Tensor, Tensor, float]:
    """Mix each image of a batch [N, 3, H, W] with another one of it (Zhang et al. 2018, arXiv:1710.09412).

    Returns share * images + (1 - share) * images[partner], the partners, int64 [N], and the share, drawn from
    Beta(alpha, alpha): a function of the arguments alone.
    """
    rng = np.random.Generator(np.random.Philox(key=[seed, epoch], counter=[0, 0, 2, step]))
    share, partner = float(rng.beta(alpha, alpha)), torch.from_numpy(rng.permutation(len(images))).to(images.device)
    return share * images + (1 - share) * images[partner], partner, share


def crop_and_flip(images: Tensor, offsets: Tensor, flips: Tensor) -> Tensor:
    """RandomCrop(32, padding=4) and RandomHorizontalFlip of images, uint8 [N, 3, H, W], as one gather.

    The padding is black in pixel values, before normalisation, as in torchvision. The draws are given: `offsets`, int64
    [N, 2], are top row and left column of the crop in the padded image; `flips` are bool [N].
    """
    n, channels, height, width = images.shape
    padded = F.pad(images, (PADDING,) * 4)
    rows = offsets[:, :1] + torch.arange(height, device=images.device)  # [N, H]
    columns = torch.arange(width, device=images.device)
    columns = offsets[:, 1:] + torch.where(flips[:, None], columns.flip(0), columns)  # [N, W]
    pixels = rows[:, :, None] * padded.shape[3] + columns[:, None, :]  # [N, H, W], into a padded channel
    pixels = pixels.view(n, 1, -1).expand(-1, channels, -1)
    return padded.view(n, channels, -1).gather(2, pixels).view_as(images)


def training_batches(images: ImageSet, dataset: Dataset, experiment: Experiment, epoch: int) -> Iterator[Batch]:
    """Yield every image once, in the epoch's order, or as many of classes drawn uniformly; the last batch is smaller.

    A batch is float32 [B, 3, H, W], normalised as `dataset` says and channels-last, and int64 [B].
    """
    device, size = images.labels.device, experiment.batch_size
    order, offsets, flips = draw(experiment.seed, epoch, len(images))
    if experiment.sampling == "classes" and epoch > experiment.deferred:
        order = draw_by_class(experiment.seed, epoch, images.labels.cpu())
    order, offsets, flips = (drawn.to(device) for drawn in (order, offsets, flips))
    block = size * max(1, _BLOCK // size)
    for start in range(0, len(order), block):
        chosen = order[start : start + block]
        pixels, labels = images.images[chosen], images.labels[chosen]
        if experiment.augmentation:
            pixels = crop_and_flip(pixels, offsets[start : start + block], flips[start : start + block])
        inputs = dataset.normalise(pixels)
        yield from zip(inputs.split(size), labels.split(size), strict=True)
