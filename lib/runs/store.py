"""The store of finished runs: outputs/runs/<key>/ with record and weights, written whole or not at all."""

import errno
import hashlib
import itertools
import json
import os
import re
import shutil
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import safetensors.torch
import torch
from filelock import FileLock
from pydantic import ValidationError
from safetensors import SafetensorError
from torch import Tensor

from lib.experiment import NUMERICS_VERSION, Experiment
from lib.runs import index
from lib.system import files, paths
from lib.system.errors import NoRoom, UserError, printable, reason
from lib.training import Record, Weights, build_model

FORMAT = 1  # layout of record.json; a record of another one is skipped, and set aside before it would be replaced
_UNREADABLE = (OSError, ValueError, KeyError, TypeError, RecursionError, NotImplementedError)


class Store:
    """Finished runs by their experiment's key, in `folder` (outputs/runs/) or else in `also`, which are only read."""

    def __init__(self, folder: Path | None = None, *also: Path):
        self.folder = Path(folder) if folder else paths.RUNS
        self.folders = (self.folder, *also)
        self._said: set[str] = set()
        self._kept: dict[Experiment, dict[int, Record]] | None = None

    def path(self, experiment: Experiment) -> Path:
        """Return the folder of a run, stored or not."""
        return self.folder / experiment.key

    def checkpoint(self, experiment: Experiment) -> Path:
        """Return the file for the state of an unfinished run."""
        return self.folder / "unfinished" / f"{experiment.key}.safetensors"

    def state(self, experiment: Experiment, epoch: int) -> Path:
        """Return the file for the state of a run after an epoch, for all runs that share their epochs up to it."""
        return self.folder / "states" / f"{experiment.prefix(epoch)}-{epoch}.safetensors"

    def lock(self, experiment: Experiment, timeout: float = 0) -> FileLock | None:
        """Lock a run; None while another program has it, NoRoom where the folder cannot be written."""
        try:
            return files.lock(self.checkpoint(experiment).with_suffix(".lock"), timeout)
        except OSError as error:
            raise NoRoom(f"Runs cannot be stored: {reason(error)} ({error.filename or self.folder}).") from error

    unlock = staticmethod(files.unlock)  # whoever waits for the run finds it stored, or goes on with it

    def tidy(self) -> None:
        """Remove what killed programs left: half-written runs, and the files of unfinished runs that are stored."""
        unfinished = self.folder / "unfinished"
        for left in self.folder.glob(".tmp-*"):
            with suppress(OSError):  # another user's
                if own := files.lock(left.with_suffix(".lock")):  # else it is being written
                    for whole in left.with_suffix("").glob(index.RECORDS):  # killed before it could be moved
                        if self._read(whole.parent) and not os.path.lexists(self.folder / whole.parent.name):
                            os.replace(whole.parent, self.folder / whole.parent.name)
                    shutil.rmtree(left.with_suffix(""), ignore_errors=True)
                    files.unlock(own)
        for key in {left.name.partition(".")[0] for left in unfinished.glob("*.*")}:
            with suppress(OSError):
                if own := files.lock(unfinished / f"{key}.lock"):  # else it is being trained
                    record = self._read(self.folder / key)
                    stored = record is not None and record.experiment.key == key
                    for left in unfinished.glob(f"{key}.*"):
                        if left.is_file() and (left.suffix == ".tmp" or (stored and left.suffix != ".lock")):
                            left.unlink()
                    files.unlock(own)

    def get(self, experiment: Experiment) -> Record | None:
        """Return the record of a finished run, or None. A damaged one is set aside, with a message.

        The key leaves out defaults, so the record's own experiment is compared too: if one changes, it is another run.
        """
        found = (self._read(folder / experiment.key) for folder in self.folders)
        return next((record for record in found if record and record.experiment == experiment), None)

    def tensors(self, run: Experiment | Record, name: str = "last") -> dict[str, Tensor]:
        """Return tensors of a run by their name: the weights of its "best" or "last" epoch, its "output" or "logits".

        "output" is the last layer of the last epoch. Logits are those of the last epoch, float16 [N, C], under "test"
        and, where images were held out, "validation"; runs keep the former since 2026-11-25, the others since
        2026-11-30. Raises UserError where the tensors are not stored, or are not those that were stored.
        """
        file, why = self.file(run.key, f"{name}.safetensors"), "not stored"
        try:
            if file:
                return self._checked(file, name)
        except (*_UNREADABLE, SafetensorError, RuntimeError) as error:
            why = f"damaged ({reason(error)})"
        folder = file.parent if file else self.folder / run.key
        raise UserError(f"{name}.safetensors of run {run.key} is {why}; remove {folder} and train it again.")

    def _checked(self, file: Path, name: str) -> dict[str, Tensor]:
        """Read tensors; ValueError for another checksum than the record's, other names, shapes or types, or NaN."""
        content = files.regular(file, files.TENSORS).read_bytes()
        found, (whole, record) = hashlib.sha256(content).hexdigest(), _read_json(file.with_name("record.json"))
        if whole["files"].get(file.name, found) != found:
            raise ValueError("its checksum is not the one in the record")
        tensors = safetensors.torch.load(content)
        if name == "logits":
            measured = {"test": record.last.test, "validation": record.last.validation}
            images = {n: int(np.sum(e.confusion)) for n, e in measured.items() if e and n in {"test", *tensors}}
            expected = {n: torch.empty(count, len(record.counts)).half() for n, count in images.items()}
        else:
            built = build_model(record.experiment, len(record.counts))
            expected = (built.get_submodule("output") if name == "output" else built).state_dict()
        forms = [{key: (value.shape, value.dtype) for key, value in each.items()} for each in (tensors, expected)]
        if forms[0] != forms[1]:
            raise ValueError(f"its tensors are not those of {record.experiment.model}")
        if not all(value.isfinite().all() for value in tensors.values()):
            raise ValueError("it holds values that are not finite")
        if file.name not in whole["files"] and file.parent.parent == self.folder:
            self._say(f"Run {record.key} was stored without a checksum of its {file.name}; it is taken now.")
            whole["files"] |= {file.name: found}
            with suppress(OSError), self._half_written() as folder:
                (folder / "record.json").write_bytes(json.dumps(whole, indent=1).encode())
                os.replace(folder / "record.json", file.with_name("record.json"))
        return tensors

    def put(self, record: Record, weights: dict[str, Weights]) -> None:
        """Store a run, complete or not at all, also after a kill; NoRoom where it cannot be written (a full disk)."""
        try:
            with self._half_written() as folder:
                new = folder / record.key
                new.mkdir()
                sums = {}
                for name, tensors in weights.items():
                    content = safetensors.torch.save(tensors)
                    (new / f"{name}.safetensors").write_bytes(content)
                    sums[f"{name}.safetensors"] = hashlib.sha256(content).hexdigest()
                described = record.model_dump(mode="json")
                whole = {"format": FORMAT, "sha256": _digest(described), "record": described, "files": sums}
                files.write(new / "record.json", json.dumps(whole, indent=1).encode())
                moved = self._move(new, record)
        except OSError as error:
            raise NoRoom(f"Run {record.key} could not be stored in {self.folder}: {reason(error)}.") from error
        if moved:
            index.note(self.folder, record)
        self.checkpoint(record.experiment).unlink(missing_ok=True)

    @contextmanager
    def _half_written(self) -> Iterator[Path]:
        """Make a folder beside the runs for what is not complete yet; its lock tells `tidy` that it is in use."""
        self.folder.mkdir(parents=True, exist_ok=True)
        folder = self.folder / f".tmp-{uuid.uuid4().hex}"
        if not (own := files.lock(folder.with_suffix(".lock"), timeout=10)):  # `tidy` looks at it for a moment
            raise OSError(errno.EBUSY, "a new folder in it is locked by another program")
        try:
            folder.mkdir()
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            files.unlock(own)

    def _move(self, new: Path, record: Record) -> bool:
        """Put a run's complete folder in its place; False where another program has put it there, which stays.

        What lies there but cannot be read, or is another experiment's, is set aside.
        """
        final = self.path(record.experiment)
        for _ in range(10):
            try:
                os.replace(new, final)
                return True
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                    raise
            with suppress(FileNotFoundError):  # another program sets it aside too
                old = self._read(final)
                if old and old.experiment == record.experiment:
                    return False
                if os.path.lexists(final):  # `_read` sets aside itself what is damaged
                    self._say(f"The run stored as {record.key} was another one; set aside as {_set_aside(final).name}.")
        raise OSError(errno.EBUSY, "other processes keep storing the same run")

    def records(self) -> list[Record]:
        """Return every readable record, oldest first."""
        files = (file for folder in reversed(self.folders) for file in folder.glob(index.RECORDS))
        by_key = {record.key: record for file in files if (record := self._read(file.parent))}
        return sorted(by_key.values(), key=lambda r: (r.finished, r.key))

    def by_seed(self, experiment: Experiment) -> dict[int, Record]:
        """Return the runs in the store's own folder that differ from `experiment` in their seed alone, by seed."""
        if self._kept is None:
            self._kept = {}
            for file in self.folder.glob(index.RECORDS):
                record = self._read(file.parent)
                if record and record.key == record.experiment.key:  # of today's numerics
                    self._kept.setdefault(record.experiment.any_seed, {})[record.experiment.seed] = record
        return self._kept.get(experiment.any_seed, {})

    def file(self, key: str, name: str = "record.json") -> Path | None:
        """Return a file of a key's run, or None: one that lies beside the record that `get` finds, or a copy of it."""
        signed = {folder: _signature(folder / key / "record.json") for folder in self.folders}
        first = next(filter(None, signed.values()), None)
        places = [folder / key / name for folder, own in signed.items() if own and own == first]
        return next(filter(os.path.exists, places), None)

    def frame(self) -> pd.DataFrame:
        """Return one row per record, oldest first; `index.row` lists the columns. Accuracies are fractions."""
        by_key = {row["key"]: row for folder in reversed(self.folders) for row in index.rows(folder, self._read)}
        return pd.DataFrame(sorted(by_key.values(), key=lambda row: (row["finished"], row["key"])))

    def _read(self, folder: Path) -> Record | None:
        """Read a run; None where there is none or a damaged one: said once, set aside in the store's own folder."""
        try:
            return _read_json(folder / "record.json")[1]
        except FileNotFoundError:
            return None
        except _UNREADABLE as error:
            end = "skipped"
            # One with a right checksum is skipped: another version of this program may know its format, model or loss.
            if folder.parent == self.folder and not isinstance(error, OSError | ValidationError | NotImplementedError):
                try:
                    end = f"set aside as {_set_aside(folder).name}"
                except FileNotFoundError:  # by another program, just now
                    return None
                except OSError:
                    pass
            self._say(f"Run {folder.name} cannot be read ({reason(error)}); {end}: {paths.shown(folder.parent)}.")
            return None

    def _say(self, line: str) -> None:
        if line not in self._said:
            self._said.add(line)
            print(printable(line), file=sys.stderr, flush=True)


#: Sources of a report's runs: "train" loads those in outputs/runs/ and trains the others; "published" loads those that
#: the repository keeps, those it lacks from outputs/runs/, and trains nothing.
SOURCES = ("train", "published")


def opened(profile: str, source: str, kept: bool = False) -> Store:
    """Return the store of a report's runs; `source` is one of SOURCES. With `kept` "train" loads kept runs too."""
    if source == "published":
        return Store(paths.PUBLISHED / profile / "runs", paths.RUNS)
    return everything() if kept else Store()


def everything() -> Store:
    """Return a store of all runs: those in outputs/runs/, and those that the repository keeps for each profile."""
    return Store(None, *sorted(paths.PUBLISHED.glob("*/runs")))


def _set_aside(folder: Path) -> Path:
    """Rename a run's folder so that the store ignores it; folders set aside before stay."""
    names = (folder.with_name(f"unreadable-{folder.name}-{n}") for n in itertools.count(1))
    aside = next(path for path in names if not os.path.lexists(path))
    os.replace(folder, aside)
    return aside


def _digest(content: dict) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _signature(file: Path) -> str | None:
    """Return the checksum that a record's file begins with, without reading it whole; None where there is none."""
    with suppress(OSError), files.regular(file, files.TEXT).open("rb") as stream:
        if found := re.search(rb'"sha256": "([0-9a-f]{64})"', stream.read(200)):
            return found[1].decode()
    return None


def _read_json(file: Path) -> tuple[dict[str, Any], Record]:
    """Return the content of a record's file and the record in it."""
    whole = json.loads(files.regular(file, files.TEXT).read_bytes())
    if whole["format"] != FORMAT:
        raise NotImplementedError(f"format {whole['format']} where this version reads {FORMAT}")
    if _digest(whole["record"]) != whole["sha256"]:
        raise ValueError("its checksum does not match")
    sums = whole.setdefault("files", {})
    if not (isinstance(sums, dict) and all(isinstance(value, str) for value in sums.values())):
        raise ValueError("its checksums are not texts by name of a file")
    record = Record.model_validate(whole["record"])
    numerics = NUMERICS_VERSION if record.key == record.experiment.key else record.numerics
    if (record.key, record.numerics) != (file.parent.name, numerics):
        raise ValueError(f"it is the record of {record.key}, numerics version {record.numerics}")
    return whole, record
