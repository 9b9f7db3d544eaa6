"""The command line of this repository. Importing it makes `lib` the one beside it, whatever else has that name.

Python looks into the working directory first, and `lib` is a common name: containers start in /, which has a /lib. The
notebooks import this package before they import `lib`.
"""

import os
import sys
from pathlib import Path

_ROOT = Path(__file__).resolve().parent.parent
VARIABLE = "WRITEUP_ROOT"  # names the checkout that makes a report to its kernels
if (_asking := os.environ.get(VARIABLE, str(_ROOT))) != str(_ROOT):
    raise ImportError(f"This kernel uses {_ROOT}, but {_asking} makes the report; use the .venv of that checkout.")
if sys.path[0] != str(_ROOT):
    sys.path.insert(0, str(_ROOT))  # local workers inherit it
if getattr(sys.modules.get("lib"), "__file__", "") is None:  # a mere folder, which `python -m lib` takes for a package
    del sys.modules["lib"]

import lib  # noqa: E402

if Path(lib.__file__ or "").resolve().parent != _ROOT / "lib":
    _found = lib.__file__ or next(iter(lib.__path__))
    raise ImportError(f"`lib` was imported from {_found}, not from {_ROOT}; restart the kernel and run all cells.")
