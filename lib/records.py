"""The store of finished runs: outputs/runs/<key>/ with record and weights, written whole or not at all."""

import hashlib
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

import pandas as pd
from pydantic import ValidationError
from safetensors.torch import load_file, save_file

from lib import paths
from lib.errors import UserError
from lib.experiment import Experiment
from lib.training import Record, Weights

#: Layout of record.json. A record of another format is refused, never misread.
FORMAT = 1


class Store:
    """Finished runs by the key of their experiment."""

    def __init__(self, folder: Path | None = None):
        self.folder = Path(folder) if folder else paths.RUNS

    def path(self, experiment: Experiment) -> Path:
        """The folder of a run, whether it is stored or not."""
        return self.folder / experiment.key

    def checkpoint(self, experiment: Experiment) -> Path:
        """Where an unfinished run keeps its state."""
        return self.folder / "unfinished" / f"{experiment.key}.safetensors"

    def get(self, experiment: Experiment) -> Record | None:
        """The record of a finished run, or None. A damaged one is set aside, and said."""
        return self._read(self.path(experiment))

    def weights(self, experiment: Experiment, epoch: str = "last") -> Weights:
        """Weights of the "best" or the "last" epoch.

        Raises:
            UserError: where none are stored.
        """
        file = self.path(experiment) / f"{epoch}.safetensors"
        if not file.exists():
            raise UserError(f"No {epoch} weights are stored for run {experiment.key}; train it again.")
        return load_file(file)

    def put(self, record: Record, weights: dict[str, Weights]) -> None:
        """Store a run. It appears under its key complete or not at all, also after a kill or a full disk.

        Raises:
            UserError: the disk is full or the folder cannot be written.
        """
        final = self.path(record.experiment)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            temporary = Path(tempfile.mkdtemp(prefix=".tmp-", dir=self.folder))
        except OSError as error:
            raise UserError(_cannot_store(record.key, self.folder, error)) from error
        try:
            for name, tensors in weights.items():
                save_file(tensors, temporary / f"{name}.safetensors")
            _write_json(temporary / "record.json", record)
            if final.exists():
                shutil.rmtree(final)  # another process finished the same run: both hold the same numbers
            os.replace(temporary, final)
        except OSError as error:
            raise UserError(_cannot_store(record.key, self.folder, error)) from error
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        self.checkpoint(record.experiment).unlink(missing_ok=True)

    def records(self) -> list[Record]:
        """Every readable record, oldest first."""
        found = (self._read(path.parent) for path in self.folder.glob("[0-9a-f]*/record.json"))
        return sorted((r for r in found if r), key=lambda r: (r.finished, r.key))

    def frame(self) -> pd.DataFrame:
        """One row per record: key, the experiment's fields, best and last test accuracy (fractions)."""
        return pd.DataFrame(
            [
                {
                    "key": record.key,
                    **record.experiment.model_dump(),
                    "best_epoch": record.best.epoch,
                    "best_accuracy": record.best.test.accuracy,
                    "last_accuracy": record.last.test.accuracy,
                    "wall_time": record.wall_time,
                    "finished": record.finished,
                    "origin": record.origin,
                }
                for record in self.records()
            ]
        )

    def _read(self, folder: Path) -> Record | None:
        file = folder / "record.json"
        if not file.exists():
            return None
        try:
            return _read_json(file)
        except (ValueError, KeyError, ValidationError) as error:
            aside = folder.with_name(f"damaged-{folder.name}")
            shutil.rmtree(aside, ignore_errors=True)
            os.replace(folder, aside)
            reason = str(error).splitlines()[0]
            print(f"Run {folder.name} cannot be read ({reason}); set aside as {aside.name}.", file=sys.stderr)
            return None


def _cannot_store(key: str, folder: Path, error: OSError) -> str:
    return f"Run {key} could not be stored in {folder}: {error.strerror or error}. Make room and run again."


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
    return Record.model_validate(whole["record"])
