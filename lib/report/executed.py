"""An executed notebook, its exhibits, and what it lacks."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_notebook

from lib.runs.store import opened


@dataclass(frozen=True)
class Execution:
    """One notebook of a profile, executed."""

    name: str
    path: Path  # the executed notebook
    seconds: float
    failure: str | None  # why it did not finish, or None
    peak_memory: int  # bytes, of the kernel and the processes it started

    @cached_property
    def notebook(self) -> NotebookNode:
        """The executed notebook; empty where it failed, as the report then leaves it out."""
        return new_notebook() if self.failure else nbformat.read(self.path, 4)


def exhibits(notebook: NotebookNode) -> list[dict[str, Any]]:
    """Return each figure and table of an executed notebook, in order: its `data` by type, and the notes on it."""
    noted = _noted(notebook, "writeup")
    return [note | {"data": output.data} for output, note in noted if note["kind"] in ("figure", "table")]


def failed_runs(notebook: NotebookNode) -> list[str]:
    """Titles of the runs that failed in an executed notebook, which left them out."""
    return [title for _, titles in _noted(notebook, "writeup_failed") for title in titles]


def headlines(notebook: NotebookNode) -> list[str]:
    """The main results that an executed notebook states, as markdown."""
    return [output.data["text/markdown"] for output, _ in _noted(notebook, "writeup_headline")]


def missing_artefacts(executed: Path) -> str | None:
    """Name the exhibits that an executed notebook declares and lacks, in a sentence; None where all are there.

    A notebook declares the figures and tables that it produces in its metadata; each names its runs.
    """
    notebook = nbformat.read(executed, 4)
    if unfinished := [cell for cell in notebook.cells if cell.cell_type == "code" and cell.execution_count is None]:
        return f"{len(unfinished)} of its cells were not executed."
    shown = {note["name"]: note for note in exhibits(notebook)}
    absent = [name for name in notebook.metadata.get("writeup", {}).get("produces", []) if name not in shown]
    if absent:
        return f"it ended without producing {', '.join(absent)}."
    store = opened(executed.parent.name, "published")
    lost = {key for note in shown.values() for key in note["runs"] if not store.file(key)}
    return f"the records of its runs {', '.join(sorted(lost))} are not stored." if lost else None


def _noted(notebook: NotebookNode, key: str) -> Iterator[tuple[NotebookNode, Any]]:
    """Yield every output that has a note under this key of its metadata, with the note."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if note := output.get("metadata", {}).get(key):
                yield output, note
