"""Paths of everything that is read or written, independent of the working directory."""

import os
import re
from pathlib import Path

from lib.system.errors import UserError, quoted

if os.path.expanduser("~") == "~":  # a user without an entry: Jupyter needs a home, and containers give this one
    os.environ["HOME"] = os.sep


def _folder(variable: str, default: Path) -> Path:
    """Return the folder that a variable names, as an absolute path; whoever uses it meets what is wrong with it."""
    given = os.path.expanduser(os.environ.get(variable, "").strip())
    return Path(os.path.realpath(given)) if given else default


#: The repository: the folder that holds lib/, notebooks/, params/ and outputs/.
ROOT = Path(__file__).resolve().parent.parent.parent
NOTEBOOKS = ROOT / "notebooks"
#: The parameter files by profile. WRITEUP_PARAMS moves it, for tests.
PARAMS = _folder("WRITEUP_PARAMS", ROOT / "params")
#: Everything that is produced. WRITEUP_OUTPUTS moves it, for tests and for a second store.
OUTPUTS = _folder("WRITEUP_OUTPUTS", ROOT / "outputs")
RUNS = OUTPUTS / "runs"
#: Reports kept in the repository: <profile>/ with its report and the records behind it. WRITEUP_PUBLISHED moves it.
PUBLISHED = _folder("WRITEUP_PUBLISHED", ROOT / "outputs" / "published")


def cache_folder() -> Path:
    """Return the folder for data sets: WRITEUP_CACHE, else one in the XDG cache folder, else one in the outputs."""
    own = _folder("XDG_CACHE_HOME", Path(os.path.expanduser("~/.cache"))) / "longtail-writeup"
    there = next(filter(os.path.exists, (own, *own.parents)), own)
    usable = os.access(there, os.W_OK | os.X_OK) or os.access(own / "cifar10.bin", os.R_OK)
    return _folder("WRITEUP_CACHE", own if usable else OUTPUTS / ".cache")


def profile_name(name: str) -> str:
    """Return the name of a profile, which is part of paths and of the report; UserError for one that could harm."""
    if not re.fullmatch(r"\w[\w .-]{0,99}", name):
        raise UserError(f"A profile's name has letters, digits, spaces and . - _ only, not {quoted(name)}.")
    return name


def shown(path: Path) -> str:
    """Return `path` as a reader types it: relative to the repository where it lies inside."""
    path = Path(path)
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)
