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
from nbconvert_typst.css import css_size
from nbconvert_typst.errors import PictureError
from nbconvert_typst.fragments import from_html, from_markdown, from_text, interactive, note, shows_something
from nbconvert_typst.latex_tables import table_html
from nbconvert_typst.pictures import decoded, picture_of
from nbconvert_typst.reading import Reading
from nbconvert_typst.terminal import colored, plain

#: Key of a cell's metadata with its number in the notebook, before cells were removed.
NUMBER = "nbconvert_typst"
#: Pictures, the best representation first; any other image/* comes after them.
_PICTURES = ("image/svg+xml", "image/png", "image/jpeg", "image/gif", "image/webp", "application/pdf")
#: What only runs in a browser: beginnings of MIME types.
_INTERACTIVE = (
    "application/vnd.plotly",
    "application/vnd.vega",
    "application/vnd.bokehjs_exec",
    "application/vnd.holoviews_exec",
    "application/vnd.jupyter.widget-view",
)
#: Scripts and their loaders; JupyterLab, too, shows nothing of them.
_SILENT = ("application/vnd.bokehjs_load", "application/vnd.holoviews_load", "application/javascript")
#: What IPython writes as text/plain where the output is something else.
_OBJECT = re.compile(r"<IPython\.core\.display\.\w+ object>")
#: Text of a widget that only names its Python object.
_REPR = re.compile(r"[\w.]+\(.*", re.DOTALL)


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
    folded: bool = True
    raw_mimetypes: tuple[str, ...] = ()


class CellReader:
    """Turns cells into blocks, one after the other; `captions` numbers the figures and tables.

    key: of the metadata with kinds, captions and widths.
    """

    def __init__(self, notebook: NotebookNode, reading: Reading, captions: Captions, wanted: Wanted, key: str) -> None:
        metadata = notebook.metadata
        named = _noted(metadata, "language_info").get("name") or _noted(metadata, "kernelspec").get("language")
        self._language = str(named or "python")
        self._cells = notebook.cells
        self._reading, self._captions, self._wanted, self._key = reading, captions, wanted, key

    def blocks(self) -> list[Block]:
        """Return the notebook's cells and outputs in order."""
        found: list[Block] = []
        for number, cell in enumerate(self._cells, 1):
            self._reading.place = f"cell {_noted(cell.metadata, NUMBER).get('number', number)}"
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
        hidden = _noted(cell.metadata, "transient").get("remove_source")  # nbconvert's mark for remove-input
        wanted = self._wanted
        if cell.cell_type == "markdown":
            if wanted.markdown and not hidden:
                yield from self._markdown(cell)
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

    def _markdown(self, cell: NotebookNode) -> Iterator[Block]:
        noted = _noted(cell.metadata, self._key)
        role = noted.get("kind")
        if role == "contents":
            yield Contents()
        elif role != "details" or self._wanted.folded:
            folded = str(noted.get("summary", "Details")) if role == "details" else ""
            tree = from_markdown(cell.source, self._reading, cell.get("attachments"))
            yield Prose(tree, boxed=role == "notice", folded=folded)

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
        picture = self._picture(output, noted)
        if isinstance(picture, Picture):
            return picture
        if picture:
            self._reading.problem(picture)
        text = text_of(data.get("text/plain", ""))
        if live := next((mime for mime in data if mime.startswith(_INTERACTIVE)), None):
            said = (
                ""
                if _REPR.fullmatch(text.strip()) or text.strip().startswith(("<", "alt."))
                else f": {plain(text).strip()}"
            )
            return Prose(note(f"[{interactive(live)}]{said}"), of_output=True)
        for mime, read in self._readers(data).items():
            if mime in data and (body := self._prose(read(text_of(data[mime])))) is not None:
                return body
        if any(mime.startswith(_SILENT) for mime in data):
            return None
        if picture:
            return Prose(note(f"[{picture}{f': {plain(text)}' if text.strip() else ''}]"), of_output=True)
        json_of = next((mime for mime in data if mime.endswith("json")), None)
        if json_of and (not text.strip() or _OBJECT.fullmatch(text.strip())):
            text = json.dumps(data[json_of], indent=2, ensure_ascii=False)
        if not text.strip() and (named := [mime for mime in data if mime not in ("text/plain", *self._readers(data))]):
            return Prose(note(f"output of type {named[0]}"), of_output=True)
        return next(_verbatim(text, "output"), None)

    def _readers(self, data: Mapping) -> dict[str, Callable[[str], HtmlElement | None]]:
        """Return how text with markup is read, the best type first."""
        return {
            "text/html": lambda source: from_html(source, self._reading),
            "text/markdown": lambda source: from_markdown(source, self._reading),
            "text/latex": lambda source: self._latex(source, data),
        }

    def _prose(self, tree: HtmlElement | None) -> Prose | None:
        return Prose(tree, of_output=True) if tree is not None and shows_something(tree) else None

    def _latex(self, source: str, data: Mapping) -> HtmlElement | None:
        """Return the tree of text/latex; a table becomes one, None where the plain text says it better."""
        if (table := table_html(source)) is not None:
            return from_html(table, self._reading)
        if "\\begin{tab" in source and "text/plain" in data:
            return None
        return from_text(source, self._reading)

    def _picture(self, output: NotebookNode, noted: Mapping) -> Picture | str:
        """Return the best picture of a bundle, or why there is none; "" where none is meant to be."""
        reasons = []
        mimes = (mime for mime in output.get("data", {}) if mime in _PICTURES or mime.startswith("image/"))
        for mime in sorted(mimes, key=_rank):
            text = text_of(output.data[mime])
            try:
                data = picture_of(text.encode() if mime == "image/svg+xml" and "<" in text else decoded(text))
            except PictureError as error:
                reasons.append(f"picture cannot be read: {error}")
            else:
                alt = str(noted.get("alt") or plain(text_of(output.data.get("text/plain", ""))))
                return Picture(self._reading.keep(data), data, alt, *_size(output, mime, noted))
        return reasons[0] if reasons else ""


def text_of(value: Any) -> str:
    """Return the text of an entry of a bundle, which may be a list of lines."""
    return "".join(map(str, value)) if isinstance(value, list) else str(value)


def _size(output: NotebookNode, mime: str, noted: Mapping) -> tuple[str | None, str | None]:
    """Return the width and height that metadata ask for: ours, those of the type, or those of the output."""
    metadata = output.get("metadata", {})
    if "width" in noted:
        return css_size({"width": noted["width"]})
    return css_size(metadata[mime] if isinstance(metadata.get(mime), Mapping) else metadata)


def _rank(mime: str) -> int:
    return _PICTURES.index(mime) if mime in _PICTURES else len(_PICTURES)


def _noted(metadata: Mapping, key: str) -> Mapping:
    noted = metadata.get(key, {})
    return noted if isinstance(noted, Mapping) else {}


def _fallback(output: NotebookNode) -> str:
    """Return the plain text of an output."""
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
