"""The shipped sample."""

import hashlib
import shutil

import pytest
import torch

from lib.data import load, sample
from lib.system.errors import UserError


@pytest.fixture
def copy(tmp_path, monkeypatch):
    folder = tmp_path / "sample"
    shutil.copytree(sample.FOLDER, folder)
    monkeypatch.setattr(sample, "FOLDER", folder)
    return folder


def test_it_is_class_balanced_and_small():
    data = load("sample")
    assert data.train.images.shape == (1280, 3, 32, 32)
    assert data.test.images.shape == (320, 3, 32, 32)
    assert data.train.images.dtype == torch.uint8
    assert data.train.labels.dtype == torch.int64
    assert data.train.labels.bincount().tolist() == [128] * 10
    assert data.test.labels.bincount().tolist() == [32] * 10
    assert sum(file.stat().st_size for file in sample.FOLDER.iterdir()) < 4e6


def test_a_changed_pixel_is_found(copy):
    from PIL import Image

    with Image.open(copy / "test.png") as image:
        image.putpixel((5, 5), (1, 2, 3))
        image.save(copy / "test.png")
    with pytest.raises(UserError, match=r"checksum.*git checkout"):
        load("sample")


@pytest.mark.parametrize("name", ["train.png", "test.png"])
@pytest.mark.parametrize("fault", ["flip", "cut", "missing"])
def test_a_broken_file_is_found(copy, name, fault):
    path = copy / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    if fault == "missing":
        path.unlink()
    else:
        path.write_bytes(content if fault == "flip" else content[:5000])
    with pytest.raises(UserError, match="damaged"):
        load("sample")


def test_another_png_encoder_makes_no_difference(copy):
    from PIL import Image

    with Image.open(copy / "train.png") as image:
        image.save(copy / "train.png", compress_level=1)
    assert load("sample").digest == sample.DIGEST


def test_the_digest_covers_pixels_and_labels():
    data = load("sample")
    whole = b"".join(part.images.numpy().tobytes() + part.labels.numpy().tobytes() for part in (data.train, data.test))
    assert hashlib.sha256(whole).hexdigest() == data.digest
