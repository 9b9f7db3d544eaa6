"""Types that every data set has in common."""

import hashlib
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Images and their classes."""

    images: Tensor  # uint8 [N, 3, H, W]; may be a view into a mapped file
    labels: Tensor  # int64 [N], positions in Dataset.classes

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: Tensor) -> "ImageSet":
        """Return the images at these positions, in this order."""
        return ImageSet(self.images[indices], self.labels[indices])

    def to(self, device: torch.device) -> "ImageSet":
        """Return the same images on a device; on a CPU still views into a mapped file."""
        return ImageSet(self.images.to(device), self.labels.to(device))

    def counts(self, classes: int) -> list[int]:
        """Return the number of images of each class, [C]."""
        return torch.bincount(self.labels, minlength=classes).tolist()


@dataclass(frozen=True, eq=False)
class Dataset:
    """A training and a test part, with all that the rest of the code has to know about them."""

    train: ImageSet
    test: ImageSet
    name: str
    digest: str  # sha256 of the content, hexadecimal
    classes: tuple[str, ...]  # names, by label
    mean: tuple[float, ...]  # per channel, of pixels scaled to [0, 1]
    std: tuple[float, ...]

    def normalise(self, images: Tensor) -> Tensor:
        """Return uint8 [N, 3, H, W] as float32, scaled to [0, 1], minus `mean`, by `std`; in channels-last layout."""
        scale, shift = _scale_and_shift(self.mean, self.std, images.device)
        # Arithmetic in the plain layout, where a channel is one run of memory, then one change of layout.
        return images.to(torch.float32).mul_(scale).sub_(shift).contiguous(memory_format=torch.channels_last)


@cache  # copying them to a GPU anew would make the host wait
def _scale_and_shift(mean: tuple[float, ...], std: tuple[float, ...], device: torch.device) -> tuple[Tensor, Tensor]:
    by, minus = (torch.tensor(values, device=device).view(-1, 1, 1) for values in (std, mean))
    return 1 / (255 * by), minus / by


def digest(*parts: ImageSet) -> str:
    """Return the sha256 sum over the pixels and labels of all parts, hexadecimal."""
    content = (part.images.numpy().tobytes() + part.labels.numpy().astype("<i8").tobytes() for part in parts)
    return hashlib.sha256(b"".join(content)).hexdigest()
