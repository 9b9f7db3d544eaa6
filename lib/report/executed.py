"""An executed notebook and its exhibits."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_notebook


@dataclass(frozen=True)
class Execution:
    """One notebook of a profile, executed."""

    name: str
    path: Path  # the executed notebook
    seconds: float
    failure: str | None  # why it did not finish, or None
    peak_memory: int = 0  # bytes, of the kernel and the processes it started

    def read(self) -> NotebookNode:
        """The executed notebook; empty where it failed, as the report then leaves it out."""
        return new_notebook() if self.failure else nbformat.read(self.path, 4)


def exhibits(notebook: NotebookNode) -> list[dict[str, Any]]:
    """Return the notes of lib.notebook.exhibits on each figure and table of an executed notebook, in order."""
    noted = [output.get("metadata", {}).get("writeup") for output in _outputs(notebook)]
    return [note for note in noted if note and note["kind"] in ("figure", "table")]


def failed_runs(notebook: NotebookNode) -> list[str]:
    """Titles of the runs that failed in an executed notebook, which left them out."""
    noted = [output.get("metadata", {}).get("writeup_failed", []) for output in _outputs(notebook)]
    return [title for titles in noted for title in titles]


def headlines(notebook: NotebookNode) -> list[str]:
    """The main results that an executed notebook states, as markdown."""
    outputs = _outputs(notebook)
    return [o.data["text/markdown"] for o in outputs if o.get("metadata", {}).get("writeup_headline")]


def svg(notebook: NotebookNode, name: str) -> str | None:
    """Return the figure of that name as SVG, or None."""
    noted = ((output, output.get("metadata", {}).get("writeup", {})) for output in _outputs(notebook))
    found = (o.data["image/svg+xml"] for o, note in noted if (note.get("kind"), note.get("name")) == ("figure", name))
    return next(found, None)


def _outputs(notebook: NotebookNode) -> list[NotebookNode]:
    return [output for cell in notebook.cells for output in cell.get("outputs", [])]
