"""The store of finished runs: outputs/runs/<key>/ with record and weights, written whole or not at all."""

import errno
import hashlib
import itertools
import json
import os
import shutil
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import pandas as pd
from filelock import FileLock, Timeout
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from lib.experiment import Experiment
from lib.runs import index
from lib.system import paths
from lib.system.errors import NoRoom, UserError
from lib.training import Record, Weights

#: Layout of record.json. A record of another format is set aside whole, never misread and never deleted.
FORMAT = 1
#: Seconds after which a half-written run counts as left by a killed program.
_ABANDONED = 24 * 3600


class Store:
    """Finished runs by the key of their experiment.

    Args:
        folder: holds the runs; by default outputs/runs/.
        also: further folders of runs, each read where the ones before have none; no run in them is changed.
    """

    def __init__(self, folder: Path | None = None, *also: Path):
        self.folder = Path(folder) if folder else paths.RUNS
        self.folders = (self.folder, *also)
        self._tidied = False
        self._kept: dict[Experiment, dict[int, Record]] | None = None

    def path(self, experiment: Experiment) -> Path:
        """Return the folder of a run, stored or not."""
        return self.folder / experiment.key

    def checkpoint(self, experiment: Experiment) -> Path:
        """Return the file for the state of an unfinished run."""
        return self.folder / "unfinished" / f"{experiment.key}.safetensors"

    def lock(self, experiment: Experiment, timeout: float = 0) -> FileLock | None:
        """Lock a run; None while another program has it. The lock of a killed program is free again at once.

        Raises NoRoom where the folder cannot be written.
        """
        lock = FileLock(self._lock_file(experiment), thread_local=False)
        try:
            self._lock_file(experiment).parent.mkdir(parents=True, exist_ok=True)
            lock.acquire(timeout=timeout)
        except Timeout:
            return None
        except OSError as error:
            raise NoRoom(f"Runs cannot be stored in {self.folder}: {error.strerror or error}.") from error
        return lock

    def unlock(self, experiment: Experiment, lock: FileLock) -> None:
        """Release a run; a stored one needs no lock file: programs that wait for it find the run stored."""
        if self.file(experiment.key):
            self._lock_file(experiment).unlink(missing_ok=True)
        lock.release()

    def _lock_file(self, experiment: Experiment) -> Path:
        return self.checkpoint(experiment).with_suffix(".lock")

    def get(self, experiment: Experiment) -> Record | None:
        """Return the record of a finished run, or None. A damaged one is set aside, with a message.

        The key leaves out fields at their defaults, so that the record's own experiment is compared too: if a default
        ever changes, it is another run.
        """
        found = (self._read(folder / experiment.key) for folder in self.folders)
        return next((record for record in found if record and record.experiment == experiment), None)

    def tensors(self, experiment: Experiment, name: str = "last") -> dict[str, Tensor]:
        """Return tensors of a run by their name: the weights of its "best" or "last" epoch, or its "logits".

        Logits are those of the last epoch on the test set, float16 [N, C] under "test"; runs keep them since
        2026-11-25. Raises UserError where the tensors are not stored, or damaged.
        """
        file, reason = self.file(experiment.key, f"{name}.safetensors"), "not stored"
        try:
            if file:
                return load_file(file)
        except SafetensorError as error:
            reason = f"damaged ({error})"
        folder = file.parent if file else self.path(experiment)
        raise UserError(f"{name}.safetensors of run {experiment.key} is {reason}; remove {folder} and train it again.")

    def put(self, record: Record, weights: dict[str, Weights]) -> None:
        """Store a run. It appears under its key complete or not at all, also after a kill or a full disk.

        Raises NoRoom where the disk is full or the folder cannot be written.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._tidy()
            with tempfile.TemporaryDirectory(prefix=".tmp-", dir=self.folder, ignore_cleanup_errors=True) as temporary:
                new = Path(temporary, record.key)
                new.mkdir()
                for name, tensors in weights.items():
                    save_file(tensors, new / f"{name}.safetensors")
                _write_json(new / "record.json", record)
                _move(new, self.path(record.experiment))
        except (OSError, SafetensorError) as error:  # safetensors reports a full disk as either
            reason = getattr(error, "strerror", None) or error
            raise NoRoom(
                f"Run {record.key} could not be stored in {self.folder}: {reason}. Make room and run again."
            ) from error
        index.note(self.folder, record)
        self.checkpoint(record.experiment).unlink(missing_ok=True)

    def _tidy(self) -> None:
        """Remove what killed programs left half-written; once, since the folder may be large."""
        if not self._tidied:
            self._tidied = True
            for left in self.folder.glob(".tmp-*"):
                with suppress(OSError):
                    if time.time() - left.stat().st_mtime > _ABANDONED:
                        shutil.rmtree(left)

    def records(self) -> list[Record]:
        """Return every readable record, oldest first."""
        files = (file for folder in reversed(self.folders) for file in folder.glob(f"{'[0-9a-f]' * 16}/record.json"))
        by_key = {record.key: record for file in files if (record := self._read(file.parent))}
        return sorted(by_key.values(), key=lambda r: (r.finished, r.key))

    def by_seed(self, experiment: Experiment) -> dict[int, Record]:
        """Return the runs in the store's own folder that differ from `experiment` in their seed alone, by seed."""
        if self._kept is None:
            self._kept = {}
            for file in self.folder.glob(f"{'[0-9a-f]' * 16}/record.json"):
                record = self._read(file.parent)
                if record and record.key == record.experiment.key:  # of today's numerics
                    self._kept.setdefault(record.experiment.replace(seed=0), {})[record.experiment.seed] = record
        return self._kept.get(experiment.replace(seed=0), {})

    def file(self, key: str, name: str = "record.json") -> Path | None:
        """Return a file of a key's run, or None."""
        return next((file for folder in self.folders if (file := folder / key / name).exists()), None)

    def frame(self) -> pd.DataFrame:
        """Return one row per record, oldest first; `index.row` lists the columns. Accuracies are fractions."""
        by_key = {row["key"]: row for folder in reversed(self.folders) for row in index.rows(folder, self._read)}
        return pd.DataFrame(sorted(by_key.values(), key=lambda row: (row["finished"], row["key"])))

    def _read(self, folder: Path) -> Record | None:
        try:
            return _read_json(folder / "record.json")
        except FileNotFoundError:
            return None
        except OSError as error:
            raise UserError(f"Run {folder.name} in {folder.parent} cannot be read: {error}.") from error
        except (ValueError, KeyError, TypeError) as error:
            reason = str(error).splitlines()[0]
            if folder.parent != self.folder:
                print(f"Run {folder.name} in {folder.parent} cannot be read ({reason}); skipped.", file=sys.stderr)
                return None
            with suppress(FileNotFoundError):  # another program has just set it aside
                aside = _set_aside(folder)
                print(f"Run {folder.name} cannot be read ({reason}); set aside as {aside.name}.", file=sys.stderr)
            return None


#: Sources of a report's runs: "train" loads those in outputs/runs/ and trains the others; "published" loads those that
#: the repository keeps, those it lacks from outputs/runs/, and trains nothing.
SOURCES = ("train", "published")


def opened(profile: str, source: str) -> Store:
    """Return the store of a report's runs; `source` is one of SOURCES."""
    return Store(paths.PUBLISHED / profile / "runs", paths.RUNS) if source == "published" else Store()


def everything() -> Store:
    """Return a store of all runs: those in outputs/runs/, and those that the repository keeps for each profile."""
    return Store(None, *sorted(paths.PUBLISHED.glob("*/runs")))


def _set_aside(folder: Path) -> Path:
    """Rename a run's folder so that the store ignores it; folders set aside before stay."""
    names = (folder.with_name(f"unreadable-{folder.name}-{n}") for n in itertools.count(1))
    aside = next(path for path in names if not path.exists())
    os.replace(folder, aside)
    return aside


def _move(new: Path, final: Path) -> None:
    """Put a complete folder in its place, replacing one that is there.

    The old one (another process finished the same run: both hold the same numbers) is renamed first, and deleted with
    the folder that `new` lies in, so that a kill never leaves half a run under its key.
    """
    for attempt in range(10):
        try:
            os.replace(new, final)
            return
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
        with suppress(FileNotFoundError):  # the other process is replacing it too
            os.replace(final, new.with_name(f"old-{attempt}"))
    raise OSError(errno.EBUSY, "other processes keep storing the same run")


def _digest(content: dict) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _write_json(file: Path, record: Record) -> None:
    content = record.model_dump(mode="json")
    whole = {"format": FORMAT, "sha256": _digest(content), "record": content}
    with file.open("w") as stream:
        json.dump(whole, stream, indent=1)
        stream.flush()
        os.fsync(stream.fileno())


def _read_json(file: Path) -> Record:
    whole = json.loads(file.read_text())
    if whole["format"] != FORMAT:
        raise ValueError(f"format {whole['format']} where this version reads {FORMAT}")
    if _digest(whole["record"]) != whole["sha256"]:
        raise ValueError("its checksum does not match")
    record = Record.model_validate(whole["record"])
    if record.key != file.parent.name:
        raise ValueError(f"it is the record of {record.key}")
    return record
