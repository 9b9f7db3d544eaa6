"""The sample of CIFAR-10 (Krizhevsky 2009) that is shipped with the repository.

`sample/train.png` and `sample/test.png` hold the first 128 training and the first 32 test images of every class, in the
order of the official files; 32 images to a row, class after class from the top, so that the place of an image gives its
label.
"""

from pathlib import Path

import numpy as np
import torch

from lib.data.cifar10 import CLASSES, MEAN, STD
from lib.data.dataset import Dataset, ImageSet, digest
from lib.system.errors import UserError

FOLDER = Path(__file__).with_name("sample")
TRAIN_PER_CLASS, TEST_PER_CLASS = 128, 32
#: Over pixels and labels, so that another PNG encoder makes no difference.
DIGEST = "8321ca95c3ec7b63540ed19ea5350e0105402cd1206400b340928e1263a2dbf6"


def load() -> Dataset:
    """Load the sample: 1,280 training and 320 test images, the same number of every class, sorted by class.

    Raises UserError where a file is missing or its content is not what was shipped.
    """
    try:
        parts = _read(FOLDER / "train.png", TRAIN_PER_CLASS), _read(FOLDER / "test.png", TEST_PER_CLASS)
        if digest(*parts) != DIGEST:
            raise ValueError("its checksum is wrong")
    except (OSError, SyntaxError, ValueError) as error:  # Pillow reports a broken PNG as any of these
        raise UserError(f"The shipped sample is damaged ({error}); run git checkout -- lib/data/sample") from error
    return Dataset(*parts, "sample", DIGEST, CLASSES, MEAN, STD)


def _read(path: Path, per_class: int) -> ImageSet:
    from PIL import Image

    with Image.open(path) as image:
        mosaic = np.asarray(image.convert("RGB"))
    tiles = mosaic.reshape(-1, 32, 32, 32, 3).transpose(0, 2, 4, 1, 3)  # row, column, channel, height, width
    images = torch.from_numpy(np.ascontiguousarray(tiles).reshape(-1, 3, 32, 32))
    return ImageSet(images, torch.arange(len(CLASSES)).repeat_interleave(per_class))
