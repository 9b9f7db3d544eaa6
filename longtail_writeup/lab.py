"""Tell git that a notebook saved in JupyterLab is unchanged where nothing but its outputs is: `make lab`.

The filter in .gitattributes keeps outputs out of commits, but git takes a file of another size for a changed one,
whatever the filter makes of it, until it is added again.
"""

import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any


def saved(os_path: str, model: dict[str, Any], **_: Any) -> None:
    """Jupyter's post_save_hook: renew what git's index holds of a tracked notebook without a change of a person's."""
    file = Path(os_path)
    with suppress(OSError):  # no git
        if model["type"] == "notebook" and not _git(file, "diff", "--quiet", "--", file.name):
            _git(file, "add", "--update", "--", file.name)


def _git(file: Path, *command: str) -> int:
    return subprocess.run(["git", *command], cwd=file.parent, capture_output=True).returncode
