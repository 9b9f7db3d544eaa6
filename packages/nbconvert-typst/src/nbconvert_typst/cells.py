"""The cells and outputs of a notebook as blocks."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, get_args

from lxml.html import HtmlElement
from nbformat import NotebookNode

from nbconvert_typst.blocks import Block, Code, Contents, Figure, Picture, Prose, RawMarkup, Verbatim
from nbconvert_typst.captions import Captions, FigureKind
from nbconvert_typst.errors import PictureError
from nbconvert_typst.fragments import from_html, from_markdown, from_text, interactive, note
from nbconvert_typst.latex_tables import table_html
from nbconvert_typst.pictures import css_size, decoded, picture_of
from nbconvert_typst.reading import Reading
from nbconvert_typst.terminal import colored, plain

#: Pictures, the best representation first; any other image/* comes after them.
_PICTURES = ("image/svg+xml", "image/png", "image/jpeg", "image/gif", "image/webp", "application/pdf")
#: What only runs in a browser: beginnings of MIME types.
_INTERACTIVE = (
    "application/vnd.plotly",
    "application/vnd.vega",
    "application/vnd.bokehjs_exec",
    "application/vnd.holoviews_exec",
    "application/vnd.jupyter.widget-view",
    "application/javascript",
)
#: Loaders of scripts; they show nothing.
_SILENT = ("application/vnd.bokehjs_load", "application/vnd.holoviews_load")


@dataclass(frozen=True)
class Wanted:
    """Parts of a notebook that go into the document."""

    code: bool = True
    markdown: bool = True
    raw: bool = True
    unknown: bool = True
    input: bool = True
    output: bool = True
    prompts: bool = False
    raw_mimetypes: tuple[str, ...] = ()


class CellReader:
    """Turns cells into blocks, one after the other; `captions` numbers the figures and tables.

    key: of the metadata with kinds, captions and widths.
    """

    def __init__(self, notebook: NotebookNode, reading: Reading, captions: Captions, wanted: Wanted, key: str) -> None:
        self._language = str(notebook.metadata.get("language_info", {}).get("name", "python"))
        self._cells = notebook.cells
        self._reading, self._captions, self._wanted, self._key = reading, captions, wanted, key

    def blocks(self) -> list[Block]:
        """Return the notebook's cells and outputs in order."""
        found: list[Block] = []
        for number, cell in enumerate(self._cells, 1):
            self._reading.place = f"cell {number}"
            found.extend(self._guarded(lambda cell=cell: list(self._cell(cell)), str(cell.get("source", ""))))
            self._reading.places.extend([self._reading.place] * (len(found) - len(self._reading.places)))
        return found

    def _guarded(self, read: Callable[[], list[Block]], text: str) -> list[Block]:
        """Return the blocks of `read`; whatever goes wrong inside, the text stands in their place."""
        trees, formulas = len(self._reading.trees), len(self._reading.formulas)
        try:
            return read()
        except Exception as error:
            del self._reading.trees[trees:], self._reading.formulas[formulas:]
            self._reading.problem(f"shown as text: {error or type(error).__name__}")
            return [Verbatim(plain(text), "output")] if text.strip() else []

    def _cell(self, cell: NotebookNode) -> Iterator[Block]:
        hidden = cell.metadata.get("transient", {}).get("remove_source")  # nbconvert's mark for remove-input
        wanted = self._wanted
        if cell.cell_type == "markdown":
            if wanted.markdown and not hidden:
                yield self._markdown(cell)
        elif cell.cell_type == "raw":
            if wanted.raw and not hidden:
                yield from self._raw(cell)
        elif cell.cell_type == "code":
            if not wanted.code:
                return
            if wanted.input and cell.source.strip() and not hidden:
                yield Code(cell.source, self._language, self._prompt("In", cell.get("execution_count")))
            if wanted.output:
                for output in cell.get("outputs", []):
                    yield from self._guarded(lambda output=output: list(self._output(output)), _fallback(output))
        elif wanted.unknown:
            yield Prose(note(f"cell of unknown type {cell.cell_type}"))
            yield Verbatim(plain(str(cell.get("source", ""))), "raw")

    def _prompt(self, name: str, count: Any) -> str:
        return f"{name} [{' ' if count is None else count}]:" if self._wanted.prompts else ""

    def _markdown(self, cell: NotebookNode) -> Block:
        noted = _noted(cell.metadata, self._key)
        role = noted.get("kind")
        if role == "contents":
            return Contents()
        folded = str(noted.get("summary", "Details")) if role == "details" else ""
        tree = from_markdown(cell.source, self._reading, cell.get("attachments"))
        return Prose(tree, boxed=role == "notice", folded=folded)

    def _raw(self, cell: NotebookNode) -> Iterator[Block]:
        mimetype = str(cell.metadata.get("raw_mimetype") or cell.metadata.get("format") or "").lower()
        if not mimetype and cell.source.strip():
            yield Verbatim(plain(cell.source), "raw")
        elif mimetype in self._wanted.raw_mimetypes:
            yield Prose(from_html(cell.source, self._reading)) if mimetype == "text/html" else RawMarkup(cell.source)

    def _output(self, output: NotebookNode) -> Iterator[Block]:
        if output.output_type == "stream":
            yield from _verbatim(text_of(output.get("text", "")), "output")
        elif output.output_type == "error":
            traceback = "\n".join(output.get("traceback") or [])
            said = traceback if traceback.strip() else f"{output.get('ename', 'Error')}: {output.get('evalue', '')}"
            yield from _verbatim(said, "error")
        elif output.output_type in ("display_data", "execute_result"):
            yield from self._display(output)
        else:
            yield Prose(note(f"output of unknown type {output.output_type}"))

    def _display(self, output: NotebookNode) -> Iterator[Block]:
        noted = _noted(output.get("metadata", {}), self._key)
        kind = noted.get("kind")
        body = None if kind == "caption" else self._best(output, noted)
        if body is None:
            return
        if output.output_type == "execute_result" and body.kind != "raw":
            body = replace(body, prompt=self._prompt("Out", output.get("execution_count")))
        if kind in get_args(FigureKind):
            caption = from_markdown(str(noted.get("caption", "")), self._reading)
            anchor = self._captions.number(kind, str(noted.get("name", "")))
            yield Figure(kind, anchor, caption, body, bool(noted.get("float")))
        else:
            yield body

    def _best(self, output: NotebookNode, noted: Mapping) -> Prose | Picture | Verbatim | None:
        """Return the output's best static representation, None where it shows nothing."""
        data: Mapping[str, Any] = output.get("data", {})
        failed = ""
        for mime in sorted((mime for mime in data if mime in _PICTURES or mime.startswith("image/")), key=_rank):
            picture = self._picture(output, mime, noted)
            if isinstance(picture, Picture):
                return picture
            failed = failed or picture
        if live := next((mime for mime in data if mime.startswith(_INTERACTIVE)), None):
            return Prose(note(interactive(live)), of_output=True)
        if any(mime.startswith(_SILENT) for mime in data):
            return None
        if "text/html" in data:
            return self._prose(from_html(text_of(data["text/html"]), self._reading))
        if "text/markdown" in data:
            return self._prose(from_markdown(text_of(data["text/markdown"]), self._reading))
        if "text/latex" in data and (tree := self._latex(text_of(data["text/latex"]), data)) is not None:
            return self._prose(tree)
        text = text_of(data.get("text/plain", ""))
        if failed:
            return Prose(note(f"{failed[:-1]}: {plain(text)}]" if text.strip() else failed), of_output=True)
        if not text.strip() and "application/json" in data:
            text = json.dumps(data["application/json"], indent=2, ensure_ascii=False)
        if not text.strip() and (named := [mime for mime in data if mime != "text/plain"]):
            return Prose(note(f"output of type {named[0]}"), of_output=True)
        return next(_verbatim(text, "output"), None)

    def _prose(self, tree: HtmlElement) -> Prose | None:
        shows = tree.text_content().strip() or any(True for _ in tree.iter("img", "math", "hr"))
        return Prose(tree, of_output=True) if shows else None

    def _latex(self, source: str, data: Mapping) -> HtmlElement | None:
        """Return the tree of text/latex; a table becomes one, None where the plain text says it better."""
        if (table := table_html(source)) is not None:
            return from_html(table, self._reading)
        if "\\begin{tab" in source and "text/plain" in data:
            return None
        return from_text(source, self._reading)

    def _picture(self, output: NotebookNode, mime: str, noted: Mapping) -> Picture | str:
        """Return a picture of a bundle, or the reason why it cannot be shown in brackets."""
        text = text_of(output.data[mime])
        try:
            data = picture_of(text.encode() if mime == "image/svg+xml" and "<" in text else decoded(text))
        except PictureError as error:
            self._reading.problem(f"picture cannot be read: {error}")
            return f"[picture cannot be read: {error}]"
        metadata = output.get("metadata", {})
        asked = metadata.get(mime) if isinstance(metadata.get(mime), Mapping) else {}
        width, height = css_size({"width": noted["width"]} if "width" in noted else asked)
        if width is None and height is None and not asked and isinstance(metadata.get("width"), int | float | str):
            width, height = css_size(metadata)
        alt = str(noted.get("alt") or plain(text_of(output.data.get("text/plain", ""))))
        return Picture(self._reading.keep(data), data, alt, width, height)


def text_of(value: Any) -> str:
    """Return the text of an entry of a bundle, which may be a list of lines."""
    return "".join(map(str, value)) if isinstance(value, list) else str(value)


def _rank(mime: str) -> int:
    return _PICTURES.index(mime) if mime in _PICTURES else len(_PICTURES)


def _noted(metadata: Mapping, key: str) -> Mapping:
    noted = metadata.get(key, {})
    return noted if isinstance(noted, Mapping) else {}


def _fallback(output: NotebookNode) -> str:
    """Return what can always be shown of an output: its text."""
    data = output.get("data", {})
    if not isinstance(data, Mapping):
        return ""
    text = text_of(data.get("text/plain", "")) or text_of(output.get("text", ""))
    return text or " ".join(re.sub("<[^>]*>", " ", text_of(data.get("text/html", ""))).split())


def _verbatim(text: str, role: str) -> Iterator[Verbatim]:
    """Yield the text of a terminal, unless it is empty."""
    shown = plain(text).rstrip()
    if shown.strip():
        yield Verbatim(shown.strip("\n"), role, colored(text.rstrip().strip("\n")))
