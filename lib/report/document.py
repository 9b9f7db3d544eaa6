"""Several executed notebooks as one document, and that document as files."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_markdown_cell, new_notebook

from lib.system.errors import UserError
from lib.system.paths import shown

#: Key of the metadata in which this repository describes cells and outputs to the exporters.
METADATA = "writeup"


@dataclass(frozen=True)
class DocumentMeta:
    """Texts of the first page, and all others that belong to no notebook."""

    title: str
    date: str
    commit: str
    profile: str
    machine: str
    #: Name -> version of the libraries that matter.
    versions: dict[str, str]
    #: Markdown: what this profile leaves out or shortens; empty when nothing.
    shortened: str = ""
    #: Markdown with its own headings, on the first page and after the notebooks. A heading with
    #: `{.unnumbered}` gets no number.
    summary: str = ""
    appendix: str = ""
    #: (notebook name, reason) of the parts that failed or were not executed.
    missing: list[tuple[str, str]] = field(default_factory=list)

    def facts(self) -> list[tuple[str, str]]:
        """The lines of the title block."""
        return [
            ("Date", self.date),
            ("Commit", self.commit),
            ("Profile", self.profile),
            ("Machine", self.machine),
            ("Versions", ", ".join(f"{name} {version}" for name, version in self.versions.items())),
        ]


def assemble(notebooks: list[Path], meta: DocumentMeta) -> NotebookNode:
    """One notebook out of executed ones, in their order: summary, notice, contents, a section each, appendix.

    Every notebook begins at its first first-level heading; one without gets its name as heading. A notebook
    that is named in `meta.missing`, or does not exist, leaves a box that says so in its place.
    """
    reasons = dict(meta.missing)
    cells = [new_markdown_cell(meta.summary)] if meta.summary else []
    if meta.shortened:
        cells.append(_cell(meta.shortened, "notice"))
    cells.append(_cell("", "contents"))
    language = {"name": "python"}
    for path in notebooks:
        reason = reasons.get(path.stem) or (None if path.is_file() else "It was not executed.")
        if reason:
            cells.extend(_missing(path, reason))
            continue
        notebook = nbformat.read(path, as_version=4)
        language = notebook.metadata.get("language_info", language)
        cells.extend(_section(path.stem, notebook))
    if meta.appendix:
        cells.append(new_markdown_cell(meta.appendix))
    for number, cell in enumerate(cells):
        cell.id = f"cell-{number}"  # two notebooks may use the same ids
    metadata = {"title": meta.title, METADATA: {"facts": meta.facts()}, "language_info": language}
    return new_notebook(cells=cells, metadata=metadata)


def write_report(
    document: NotebookNode, folder: Path, show_code: bool = False, name: str = "report"
) -> tuple[Path, Path]:
    """Write `document` as HTML and PDF into `folder`; return their paths.

    Each file appears whole or not at all. Raises UserError where pandoc or Typst fails or is missing.
    """
    from nbconvert_typst import ExportError, ReportHTMLExporter, TypstPDFExporter

    resources = {"metadata": {"name": name, "path": str(folder)}}
    options = {"show_code": show_code, "metadata_key": METADATA}
    try:
        html, _ = ReportHTMLExporter(**options).from_notebook_node(document, resources)
        pdf, _ = TypstPDFExporter(**options).from_notebook_node(document, resources)
    except ExportError as error:
        raise UserError(f"The report was not written to {shown(folder)}: {error}") from error
    folder.mkdir(parents=True, exist_ok=True)
    return _write(folder / f"{name}.html", html.encode()), _write(folder / f"{name}.pdf", pdf)


def _cell(markdown: str, kind: str) -> NotebookNode:
    return new_markdown_cell(markdown, metadata={METADATA: {"kind": kind}})


def _section(name: str, notebook: NotebookNode) -> Iterator[NotebookNode]:
    if not any(cell.cell_type == "markdown" and re.search(r"^# ", cell.source, re.M) for cell in notebook.cells):
        yield _heading(name)
    for cell in notebook.cells:
        if cell.cell_type == "code" and "training" in cell.metadata.get("tags", []):
            cell.outputs = [output for output in cell.outputs if output.output_type != "stream"]
        yield cell


def _missing(path: Path, reason: str) -> Iterator[NotebookNode]:
    kept = f" What was executed is kept in `{shown(path)}`." if path.is_file() else ""
    yield _heading(path.stem)
    yield _cell(f"**This part is missing.** The notebook `{path.stem}` did not finish: {reason}{kept}", "notice")


def _heading(name: str) -> NotebookNode:
    return new_markdown_cell(f"# {name.replace('_', ' ').capitalize()}")


def _write(path: Path, content: bytes) -> Path:
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        unfinished.write_bytes(content)
        return unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
