"""The sample that is shipped with the repository, and the labels of the whole training set.

`sample/` holds, all taken from CIFAR-10 (Krizhevsky 2009):

    train.png, test.png   the first 128 training and the first 32 test images of every class, in the order of
                          the official files; 32 images to a row, class after class from the top, so that the
                          place of an image tells its label
    train_labels.u4       the 50,000 training labels, two to a byte, the earlier one in the high half

`python -m lib.data.sample` makes them again from the cached data set.
"""

import hashlib
from pathlib import Path

import numpy as np
import torch

from lib.data.cifar10 import CLASS_NAMES, Dataset, ImageSet
from lib.system.errors import UserError

FOLDER = Path(__file__).with_name("sample")
TRAIN_PER_CLASS, TEST_PER_CLASS = 128, 32
_COLUMNS = 32
#: sha256 over the pixels and labels of both parts, so that another PNG encoder makes no difference.
DIGEST = "8321ca95c3ec7b63540ed19ea5350e0105402cd1206400b340928e1263a2dbf6"
LABELS_DIGEST = "7ab53d075695a9dfc719ea941bb64b9737cb1468bede8b30ae8b9c395293b0c4"


def load() -> Dataset:
    """The sample: 1,280 training and 320 test images, the same number of every class, sorted by class.

    Raises:
        UserError: when a file is missing or its content is not what was shipped.
    """
    try:
        train = _read(FOLDER / "train.png", TRAIN_PER_CLASS)
        test = _read(FOLDER / "test.png", TEST_PER_CLASS)
    except (OSError, SyntaxError, ValueError) as error:  # Pillow reports a broken PNG as any of these
        raise _damaged(str(error)) from error
    digest = _digest(train, test)
    if digest != DIGEST:
        raise _damaged("its checksum is wrong")
    return Dataset(train, test, "sample", digest)


def official_train_labels() -> np.ndarray:
    """The labels of the 50,000 official training images, int64, without the data set itself.

    Raises:
        UserError: when the file is missing or damaged.
    """
    try:
        packed = (FOLDER / "train_labels.u4").read_bytes()
    except OSError as error:
        raise _damaged(str(error)) from error
    if hashlib.sha256(packed).hexdigest() != LABELS_DIGEST:
        raise _damaged("the checksum of train_labels.u4 is wrong")
    pairs = np.frombuffer(packed, np.uint8)
    return np.stack([pairs >> 4, pairs & 15], axis=1).ravel().astype(np.int64)


def _damaged(reason: str) -> UserError:
    return UserError(f"The shipped sample is damaged ({reason}); restore it: git checkout -- lib/data/sample")


def _read(path: Path, per_class: int) -> ImageSet:
    from PIL import Image

    with Image.open(path) as image:
        mosaic = np.asarray(image.convert("RGB"))
    rows = len(CLASS_NAMES) * per_class // _COLUMNS
    tiles = mosaic.reshape(rows, 32, _COLUMNS, 32, 3).transpose(0, 2, 4, 1, 3)
    images = torch.from_numpy(np.ascontiguousarray(tiles).reshape(-1, 3, 32, 32))
    return ImageSet(images, torch.arange(len(CLASS_NAMES)).repeat_interleave(per_class))


def _write(part: ImageSet, path: Path, per_class: int) -> None:
    from PIL import Image

    first = torch.cat([(part.labels == k).nonzero()[:per_class, 0] for k in range(len(CLASS_NAMES))])
    tiles = part.images[first].numpy().reshape(-1, _COLUMNS, 3, 32, 32).transpose(0, 3, 1, 4, 2)
    mosaic = np.ascontiguousarray(tiles).reshape(-1, _COLUMNS * 32, 3)
    Image.fromarray(mosaic).save(path, optimize=True)


def _digest(train: ImageSet, test: ImageSet) -> str:
    digest = hashlib.sha256()
    for part in (train, test):
        digest.update(part.images.numpy().tobytes())
        digest.update(part.labels.numpy().astype("<i8").tobytes())
    return digest.hexdigest()


def rebuild(folder: Path = FOLDER) -> tuple[str, str]:
    """Make the files again from the cached data set (fetched where needed).

    Returns:
        The digests that DIGEST and LABELS_DIGEST have to be.
    """
    from lib.data import cifar10

    full = cifar10.load()
    folder.mkdir(parents=True, exist_ok=True)
    _write(full.train, folder / "train.png", TRAIN_PER_CLASS)
    _write(full.test, folder / "test.png", TEST_PER_CLASS)
    pairs = full.train.labels.numpy().astype(np.uint8).reshape(-1, 2)
    packed = (pairs[:, 0] << 4 | pairs[:, 1]).tobytes()
    (folder / "train_labels.u4").write_bytes(packed)
    train, test = _read(folder / "train.png", TRAIN_PER_CLASS), _read(folder / "test.png", TEST_PER_CLASS)
    return _digest(train, test), hashlib.sha256(packed).hexdigest()


if __name__ == "__main__":
    made = rebuild()
    print(*made, sep="\n")
    print("as shipped" if made == (DIGEST, LABELS_DIGEST) else "different from DIGEST, LABELS_DIGEST")
