"""The command `writeup`. Importing it makes `lib` the one beside this file, whatever else has that name.

Python looks into the working directory first, and `lib` is a common name: containers start in /, which has a /lib. The
notebooks import this module before they import `lib`.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent
if sys.path[0] != str(ROOT):
    sys.path.insert(0, str(ROOT))  # local workers inherit it

import lib  # noqa: E402

if Path(lib.__file__ or "").parent != ROOT / "lib":
    found = lib.__file__ or next(iter(lib.__path__))
    raise ImportError(f"`lib` was imported from {found}, not from {ROOT}; restart the kernel and run all cells.")


def main() -> None:
    """Run the command line."""
    from lib.__main__ import main as command_line

    command_line()
