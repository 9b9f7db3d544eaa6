"""Paths of everything that is read or written, independent of the working directory."""

import os
from pathlib import Path

#: The repository: the folder that holds lib/, notebooks/, params/ and outputs/.
ROOT = Path(__file__).resolve().parent.parent.parent
NOTEBOOKS = ROOT / "notebooks"
#: The parameter files by profile. WRITEUP_PARAMS moves it, for tests.
PARAMS = Path(os.environ.get("WRITEUP_PARAMS", ROOT / "params")).resolve()
#: Everything that is produced. WRITEUP_OUTPUTS moves it, for tests and for a second store.
OUTPUTS = Path(os.environ.get("WRITEUP_OUTPUTS", ROOT / "outputs")).resolve()
RUNS = OUTPUTS / "runs"
#: Reports kept in the repository: <profile>/ with its report and the records behind it. WRITEUP_PUBLISHED moves it.
PUBLISHED = Path(os.environ.get("WRITEUP_PUBLISHED", ROOT / "outputs" / "published")).resolve()


def cache_folder() -> Path:
    """Return the folder for data sets, one per user: WRITEUP_CACHE, else one in the XDG cache folder."""
    if folder := os.environ.get("WRITEUP_CACHE"):
        return Path(folder).expanduser().resolve()
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base).expanduser() / "longtail-writeup"


def shown(path: Path) -> str:
    """Return `path` as a reader types it: relative to the repository where it lies inside."""
    path = Path(path)
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)
