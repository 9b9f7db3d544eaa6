"""The measurements themselves, as files."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from lib import paths


def folder(profile: str) -> Path:
    """Where a profile's measurements are kept."""
    return paths.OUTPUTS / profile / "benchmark"


def keep(profile: str, name: str, frames: pd.DataFrame | Mapping[str, pd.DataFrame]) -> None:
    """Write every single measurement behind a table or figure to `<name>.csv`; several frames get a column `of`."""
    if not isinstance(frames, pd.DataFrame):
        frames = pd.concat([frame.assign(of=key) for key, frame in frames.items()])
    folder(profile).mkdir(parents=True, exist_ok=True)
    file = folder(profile) / f"{name}.csv"
    unfinished = file.with_suffix(".tmp")
    frames.to_csv(unfinished, index=False, float_format="%.6g")
    unfinished.replace(file)
