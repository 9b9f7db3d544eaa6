"""Executed notebooks: what each shows and lacks, all of them as one document, and that document as files."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from lib.analysis.prose import escaped
from lib.runs.store import opened
from lib.system import files
from lib.system.errors import UserError, reason
from lib.system.paths import shown

METADATA = "writeup"  # key of the metadata in which this repository describes cells and outputs to the exporters

#: A cell of a table that names a run; its link leads to the origins, and is dropped where they do not list the run.
_RUN_OF_A_CELL = re.compile(r"(?<=<td>)([0-9a-f]{8})(?=</td>)")


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
        return new_notebook() if self.failure else read(self.path)


def read(executed: Path) -> NotebookNode:
    """Return an executed notebook; UserError where it, or what it notes on its exhibits, is damaged."""
    try:
        notebook = nbformat.read(files.regular(executed, files.TEXT), 4)
        runs = [key for note in exhibits(notebook) if note["name"] for key in note.get("runs", ())]
        if wrong := [key for key in runs if not re.fullmatch("[0-9a-f]{16}", key)]:
            raise ValueError(f"{wrong[0]!r} is no name of a run")
    except Exception as error:  # nbformat raises nearly anything
        raise UserError(f"{shown(executed)} is damaged ({reason(error)}); make the report again.") from error
    return notebook


def exhibits(notebook: NotebookNode) -> list[dict[str, Any]]:
    """Return each figure and table of an executed notebook, in order: its `data` by type, and the notes on it."""
    noted = _noted(notebook, METADATA)
    return [note | {"data": output.data} for output, note in noted if note["kind"] in ("figure", "table")]


def failed_runs(notebook: NotebookNode) -> list[str]:
    """Titles of the runs that failed in an executed notebook, which left them out."""
    return [title for _, titles in _noted(notebook, "writeup_failed") for title in titles]


def headlines(notebooks: Iterable[NotebookNode], first_page: bool = False) -> list[str]:
    """The main results that executed notebooks state for the summary, or those for the first page, as markdown."""
    found = [(noted["first_page"], output) for nb in notebooks for output, noted in _noted(nb, "writeup_headline")]
    chosen = [(place, output) for place, output in found if bool(place) == first_page]
    return [output.data["text/markdown"] for _, output in sorted(chosen, key=lambda each: each[0])]


def missing_artefacts(executed: Path) -> str | None:
    """Name the exhibits that an executed notebook's metadata declare and it lacks, or their runs; None if none."""
    notebook = read(executed)
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
    facts: Sequence[tuple[str, ...]],
    *,
    introduction: str = "",
    summary: str = "",
    notice: str = "",
    appendix: str = "",
    origins: str = "",
    missing: Mapping[str, str] | None = None,
) -> NotebookNode:
    """One notebook out of executed ones, in their order: first page, summary, contents, a section each, appendix.

    The first page has the introduction, the notice, and what the notebooks mark for it: figures, headlines, tables.
    `facts` are the lines of the title block; introduction, summary, notice, appendix and origins are markdown, in which
    a heading of the class "unnumbered" gets no number. The origins come last, folded in HTML and left out of the PDF. A
    notebook without a first-level heading gets its name as heading. One that does not exist, or failed with a reason in
    `missing`, leaves a box that says so in its place.
    """
    absent = {path.stem: "It was not executed." for path in notebooks if not path.is_file()} | dict(missing or {})
    made = {path.stem: read(path) for path in notebooks if path.stem not in absent}
    cells = [new_markdown_cell(introduction)] if introduction else []
    if notice:
        cells.append(_cell(notice, kind="notice"))
    cells.extend(_first_page([*made.values()]))
    if summary:
        cells.append(new_markdown_cell(summary))
    cells.append(_cell("", kind="contents"))
    for path in notebooks:
        cells.extend(_section(path, made[path.stem]) if path.stem in made else _missing(path, absent[path.stem]))
    if appendix:
        cells.append(new_markdown_cell(appendix))
    if origins:
        cells.append(_cell(origins, kind="details", summary="Runs of each figure, and the details of each run"))
    for number, cell in enumerate(cells):
        cell.id = f"cell-{number}"  # two notebooks may use the same ids
    return new_notebook(cells=cells, metadata={"title": title, METADATA: {"facts": facts}})


def write_report(document: NotebookNode, folder: Path, show_code: bool = False) -> tuple[Path, Path]:
    """Write `document` as HTML and PDF into `folder`, each whole; return their paths. UserError where Typst fails."""
    from nbconvert_typst import ExportError, ReportHTMLExporter, TypstPDFExporter

    resources = {"metadata": {"name": "report", "path": str(folder)}}
    options = {"show_code": show_code, "metadata_key": METADATA}
    try:
        html, _ = ReportHTMLExporter(**options).from_notebook_node(document, resources)
        pdf, _ = TypstPDFExporter(**options).from_notebook_node(document, resources)
    except ExportError as error:
        raise UserError(f"The report was not written to {shown(folder)}: {error}") from error
    for name, content in {"report.html": html.encode(), "report.pdf": pdf}.items():
        files.write(folder / name, content)
    return folder / "report.html", folder / "report.pdf"


def _cell(markdown: str, **metadata: str) -> NotebookNode:
    return new_markdown_cell(markdown, metadata={METADATA: metadata})


def _first_page(notebooks: Sequence[NotebookNode]) -> Iterator[NotebookNode]:
    """Cells with the figures, the headlines and the tables that notebooks mark for the first page."""
    shown = [each for notebook in notebooks for each in _noted(notebook, METADATA) if each[1].get("first_page")]
    lines = headlines(notebooks, first_page=True)
    yield new_code_cell(outputs=[output for output, note in shown if note["kind"] == "figure"])
    yield new_markdown_cell("\n".join(f"{number}. {line}" for number, line in enumerate(lines, start=1)))
    yield new_code_cell(outputs=[output for output, note in shown if note["kind"] == "table"])


def _section(path: Path, notebook: NotebookNode) -> Iterator[NotebookNode]:
    if not any(cell.cell_type == "markdown" and re.search(r"^# ", cell.source, re.M) for cell in notebook.cells):
        yield _heading(path)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            training = "training" in cell.metadata.get("tags", [])
            kept = (output for output in cell.outputs if not (training and output.output_type == "stream"))
            cell.outputs = [o for o in kept if not o.get("metadata", {}).get(METADATA, {}).get("first_page")]
            for output in cell.outputs:
                if "text/html" in output.get("data", {}):
                    output.data["text/html"] = _RUN_OF_A_CELL.sub(r'<a href="#run-\1">\1</a>', output.data["text/html"])
        yield cell


def _missing(path: Path, reason: str) -> Iterator[NotebookNode]:
    kept = f" What was executed is kept in `{shown(path)}`." if path.is_file() else ""
    yield _heading(path)
    message = f"**This part is missing.** The notebook `{path.stem}` did not finish: {escaped(reason)}{kept}"
    yield _cell(message, kind="notice")


def _heading(path: Path) -> NotebookNode:
    return new_markdown_cell(f"# {path.stem.replace('_', ' ').capitalize()}")
