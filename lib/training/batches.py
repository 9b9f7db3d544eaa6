"""Batches from images that stay on the device as uint8.

An epoch's order, crops and flips are a pure function of (seed, epoch): stopping and resuming a run, or
training several side by side, cannot change what any of them sees.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from lib.data import MEAN, STD, ImageSet

PADDING = 4
#: Images are augmented in blocks of about this many: few enough to stay in the processor's cache, many
#: enough that the fixed cost of an operation does not show.
_BLOCK = 256


@dataclass(frozen=True)
class Draws:
    """The chances of one epoch over n images."""

    order: Tensor  # int64 [n], a permutation
    offsets: Tensor  # int64 [n, 2], row and column of the crop in the padded image, 0 ... 2 * PADDING
    flips: Tensor  # bool [n]


def draw(seed: int, epoch: int, n: int) -> Draws:
    """Draw an epoch's order, crop offsets and flips: a function of its arguments alone."""
    rng = np.random.Generator(np.random.Philox(key=[seed, epoch]))
    order = rng.permutation(n)
    offsets = rng.integers(0, 2 * PADDING + 1, size=(n, 2))
    flips = rng.random(n) < 0.5
    return Draws(torch.from_numpy(order), torch.from_numpy(offsets), torch.from_numpy(flips))


def crop_and_flip(images: Tensor, offsets: Tensor, flips: Tensor) -> Tensor:
    """RandomCrop(32, padding=4) and RandomHorizontalFlip with the chances given, as one gather.

    The padding is black in pixel values, before normalisation, as in torchvision.

    Args:
        images: uint8 [N, 3, H, W].
        offsets: int64 [N, 2], top row and left column of the crop in the padded image.
        flips: bool [N].

    Returns:
        uint8 [N, 3, H, W].
    """
    n, channels, height, width = images.shape
    padded = F.pad(images, (PADDING,) * 4)
    rows = offsets[:, :1] + torch.arange(height, device=images.device)  # [N, H]
    columns = torch.arange(width, device=images.device)
    columns = offsets[:, 1:] + torch.where(flips[:, None], columns.flip(0), columns)  # [N, W]
    pixels = rows[:, :, None] * padded.shape[3] + columns[:, None, :]  # [N, H, W], into a padded channel
    pixels = pixels.view(n, 1, -1).expand(-1, channels, -1)
    return padded.view(n, channels, -1).gather(2, pixels).view_as(images)


def normalise(images: Tensor) -> Tensor:
    """uint8 [N, 3, H, W] to float32, scaled to [0, 1], minus MEAN, by STD; in channels-last layout."""
    scale, shift = _scale_and_shift(images.device)
    # Arithmetic in the plain layout, where a channel is one run of memory, then one change of layout.
    return images.to(torch.float32).mul_(scale).sub_(shift).contiguous(memory_format=torch.channels_last)


@cache  # copying them to a GPU anew would make the host wait
def _scale_and_shift(device: torch.device) -> tuple[Tensor, Tensor]:
    mean = torch.tensor(MEAN, device=device).view(3, 1, 1)
    std = torch.tensor(STD, device=device).view(3, 1, 1)
    return 1 / (255 * std), mean / std


def training_batches(
    data: ImageSet, *, batch_size: int, seed: int, epoch: int, augmentation: bool
) -> Iterator[tuple[Tensor, Tensor]]:
    """Every image once, in the epoch's order; the last, smaller batch is kept.

    Yields:
        (float32 [B, 3, H, W] normalised and channels-last, int64 [B]).
    """
    device = data.images.device
    draws = draw(seed, epoch, len(data.labels))
    order, offsets, flips = (t.to(device) for t in (draws.order, draws.offsets, draws.flips))
    block = batch_size * max(1, _BLOCK // batch_size)
    for start in range(0, len(order), block):
        chosen = order[start : start + block]
        images, labels = data.images[chosen], data.labels[chosen]
        if augmentation:
            images = crop_and_flip(images, offsets[start : start + block], flips[start : start + block])
        yield from zip(normalise(images).split(batch_size), labels.split(batch_size), strict=True)
