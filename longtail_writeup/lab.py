"""Tell git that a notebook saved in JupyterLab is unchanged where nothing but its outputs is: `make lab`.

The filter in .gitattributes keeps outputs out of commits, but git takes a file of another size for a changed one,
whatever the filter makes of it, until it is added again.
"""

import subprocess
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any


def saved(os_path: str, model: dict[str, Any], **_: Any) -> None:
    """Refresh git's index after a notebook was saved: Jupyter's post_save_hook."""
    if model["type"] == "notebook":  # beside the server, which is not to wait for git
        threading.Thread(target=refresh, args=(Path(os_path),), daemon=True).start()


def refresh(file: Path) -> None:
    """Add a tracked file to git's index again if git's filter makes of it what the index holds."""
    with suppress(OSError):  # no git
        if not _git(file, "diff", "--quiet", "--", file.name):
            _git(file, "add", "--update", "--", file.name)


def _git(file: Path, *command: str) -> int:
    return subprocess.run(["git", *command], cwd=file.parent, capture_output=True).returncode
