"""The measurements themselves, as files."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from lib.experiment import Experiment
from lib.runs import sweep
from lib.runs.store import Store
from lib.system import paths
from lib.training import Record


def folder(profile: str) -> Path:
    """The folder of a profile's measurements."""
    return paths.OUTPUTS / "benchmark" / profile


def keep(profile: str, name: str, frames: pd.DataFrame | Mapping[str, pd.DataFrame]) -> None:
    """Write every single measurement behind a table or figure to `<name>.csv`; several frames get a column `of`."""
    if not isinstance(frames, pd.DataFrame):
        frames = pd.concat([frame.assign(of=key) for key, frame in frames.items()])
    folder(profile).mkdir(parents=True, exist_ok=True)
    file = folder(profile) / f"{name}.csv"
    unfinished = file.with_suffix(".tmp")
    frames.to_csv(unfinished, index=False, float_format="%.6g")
    unfinished.replace(file)


def train_afresh(experiments: Sequence[Experiment], store: Store, profile: str, origin: str) -> list[Record]:
    """Train runs one at a time on all cores, also those that are stored: it is their time that is asked for.

    Args:
        store: keeps those that it does not have yet.
    """
    fresh = Store(folder(profile) / "runs")
    shutil.rmtree(fresh.folder, ignore_errors=True)
    records = sweep.run(experiments, store=fresh, origin=origin, workers=1)
    for record in records:
        if store.get(record.experiment) is None:
            store.put(record, {epoch: fresh.weights(record.experiment, epoch) for epoch in ("best", "last")})
    shutil.rmtree(fresh.folder)
    epochs = [
        (r.key, r.experiment.seed, e.epoch, e.images_per_second, e.test.accuracy) for r in records for e in r.history
    ]
    columns = ["run", "seed", "epoch", "images_per_second", "test_accuracy"]
    keep(profile, "reached", pd.DataFrame(epochs, columns=columns))
    return records
