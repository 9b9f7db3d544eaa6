"""Executed notebooks: what each shows and lacks, all of them as one document, and that document as files."""

import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_markdown_cell, new_notebook

from lib.runs.store import opened
from lib.system.errors import UserError
from lib.system.paths import shown

#: Key of the metadata in which this repository describes cells and outputs to the exporters.
METADATA = "writeup"


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
    code = [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]
    if unfinished := [cell for cell in code if cell.execution_count is None]:
        return f"{len(unfinished)} of its cells were not executed."
    noted = {note["name"]: note for note in exhibits(notebook)}
    absent = [name for name in notebook.metadata.get("writeup", {}).get("produces", []) if name not in noted]
    if absent:
        return f"it ended without producing {', '.join(absent)}."
    store = opened(executed.parent.name, "published")
    lost = {key for note in noted.values() for key in note["runs"] if not store.file(key)}
    return f"the records of its runs {', '.join(sorted(lost))} are not stored." if lost else None


def _noted(notebook: NotebookNode, key: str) -> Iterator[tuple[NotebookNode, Any]]:
    """Yield every output that has a note under this key of its metadata, with the note."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if note := output.get("metadata", {}).get(key):
                yield output, note


def assemble(
    notebooks: Sequence[Path],
    title: str,
    facts: Sequence[tuple[str, str]],
    *,
    summary: str = "",
    notice: str = "",
    appendix: str = "",
    missing: Mapping[str, str] | None = None,
) -> NotebookNode:
    """One notebook out of executed ones, in their order: summary, notice, contents, a section each, appendix.

    `facts` are the lines of the title block; summary, notice and appendix are markdown, in which a heading with
    `{.unnumbered}` gets no number. A notebook without a first-level heading gets its name as heading. One that does not
    exist, or failed with a reason in `missing`, leaves a box that says so in its place.
    """
    cells = [new_markdown_cell(summary)] if summary else []
    if notice:
        cells.append(_cell(notice, "notice"))
    cells.append(_cell("", "contents"))
    for path in notebooks:
        reason = (missing or {}).get(path.stem) or (None if path.is_file() else "It was not executed.")
        cells.extend(_missing(path, reason) if reason else _section(path))
    if appendix:
        cells.append(new_markdown_cell(appendix))
    for number, cell in enumerate(cells):
        cell.id = f"cell-{number}"  # two notebooks may use the same ids
    return new_notebook(cells=cells, metadata={"title": title, METADATA: {"facts": facts}})


def write_report(document: NotebookNode, folder: Path, show_code: bool = False) -> tuple[Path, Path]:
    """Write `document` as HTML and PDF into `folder`; return their paths.

    Each file appears whole or not at all. Raises UserError where pandoc or Typst fails or is missing.
    """
    from nbconvert_typst import ExportError, ReportHTMLExporter, TypstPDFExporter

    resources = {"metadata": {"name": "report", "path": str(folder)}}
    options = {"show_code": show_code, "metadata_key": METADATA}
    try:
        html, _ = ReportHTMLExporter(**options).from_notebook_node(document, resources)
        pdf, _ = TypstPDFExporter(**options).from_notebook_node(document, resources)
    except ExportError as error:
        raise UserError(f"The report was not written to {shown(folder)}: {error}") from error
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".unfinished-") as unfinished:
        for name, content in {"report.html": html.encode(), "report.pdf": pdf}.items():
            Path(unfinished, name).write_bytes(content)
            Path(unfinished, name).replace(folder / name)
    return folder / "report.html", folder / "report.pdf"


def _cell(markdown: str, kind: str) -> NotebookNode:
    return new_markdown_cell(markdown, metadata={METADATA: {"kind": kind}})


def _section(path: Path) -> Iterator[NotebookNode]:
    notebook = nbformat.read(path, as_version=4)
    if not any(cell.cell_type == "markdown" and re.search(r"^# ", cell.source, re.M) for cell in notebook.cells):
        yield _heading(path)
    for cell in notebook.cells:
        if cell.cell_type == "code" and "training" in cell.metadata.get("tags", []):
            cell.outputs = [output for output in cell.outputs if output.output_type != "stream"]
        yield cell


def _missing(path: Path, reason: str) -> Iterator[NotebookNode]:
    kept = f" What was executed is kept in `{shown(path)}`." if path.is_file() else ""
    yield _heading(path)
    yield _cell(f"**This part is missing.** The notebook `{path.stem}` did not finish: {reason}{kept}", "notice")


def _heading(path: Path) -> NotebookNode:
    return new_markdown_cell(f"# {path.stem.replace('_', ' ').capitalize()}")
