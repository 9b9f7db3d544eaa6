"""An executed notebook as a list of blocks, from which both templates are filled."""

import base64
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

from nbconvert.filters import strip_ansi
from nbformat import NotebookNode

from nbconvert_typst.captions import Captions, FigureKind
from nbconvert_typst.pandoc import Anchor, Image, Markup

#: The best static representation first. A widget's text is no substitute for it, so it is left out.
_MIME_PRIORITY = (
    "image/svg+xml",
    "image/png",
    "image/jpeg",
    "text/html",
    "text/markdown",
    "text/latex",
    "text/plain",
)
_WIDGET = "application/vnd.jupyter.widget-view+json"
_ENVIRONMENT = re.compile(
    r"(?P<keep>^```.*?^```|^~~~.*?^~~~|`[^`\n]*`|\$\$.*?\$\$)|(?P<math>\\begin\{(?P<name>[a-z]+\*?)\}.*?\\end\{(?P=name)\})",
    re.DOTALL | re.MULTILINE,
)


@dataclass(frozen=True)
class Prose:
    """Markdown or HTML, a table of an output included."""

    kind: ClassVar = "prose"
    body: Markup
    boxed: bool = False  # a reader must not miss it
    folded: str = ""  # the line that it folds under in HTML; it is left out of the PDF


@dataclass(frozen=True)
class Contents:
    """The place of the table of contents."""

    kind: ClassVar = "contents"


@dataclass(frozen=True)
class Code:
    kind: ClassVar = "code"
    text: str
    language: str


@dataclass(frozen=True)
class Verbatim:
    kind: ClassVar = "verbatim"
    text: str
    role: Literal["output", "error"]


@dataclass(frozen=True)
class Picture:
    kind: ClassVar = "picture"
    image: Image
    alt: str
    #: "60%" of the text width, or CSS pixels as "300px"; None is the picture's own.
    width: str | None


@dataclass(frozen=True)
class Figure:
    """A numbered figure or table with its caption."""

    kind: ClassVar = "figure"
    of: FigureKind
    anchor: Anchor
    caption: Markup
    body: Prose | Picture | Verbatim
    floating: bool = False  # may move to the bottom of a page of the PDF


Block = Prose | Contents | Code | Verbatim | Picture | Figure


def blocks_of(notebook: NotebookNode, captions: Captions, *, code: bool, key: str) -> list[Block]:
    """The notebook's cells and outputs in order; `captions` numbers its figures and tables.

    code: include the source of code cells. key: of the metadata with kinds, captions and widths.
    """
    language = notebook.metadata.get("language_info", {}).get("name", "python")
    blocks: list[Block] = []
    for cell in notebook.cells:
        hidden = cell.metadata.get("transient", {}).get("remove_source")  # nbconvert's mark for remove-input
        if cell.cell_type == "markdown" and not hidden:
            blocks.append(_markdown_cell(cell, key))
        elif cell.cell_type == "code":
            if code and cell.source.strip() and not hidden:
                blocks.append(Code(cell.source, language))
            for output in cell.outputs:
                blocks.extend(_output(output, captions, key))
    return blocks


def markups_of(blocks: list[Block]) -> list[Markup]:
    """Every text of the blocks that pandoc has to convert."""
    markups = []
    for block in blocks:
        if block.kind == "figure":
            markups.append(block.caption)
            block = block.body
        if block.kind == "prose":
            markups.append(block.body)
    return markups


def _markdown_cell(cell: NotebookNode, key: str) -> Block:
    noted = cell.metadata.get(key, {})
    role = noted.get("kind")
    if role == "contents":
        return Contents()
    source = cell.source
    for name, bundle in cell.get("attachments", {}).items():
        mime, data = next(iter(bundle.items()))
        for reference in (name, name.replace(" ", "%20")):
            source = source.replace(f"attachment:{reference}", f"data:{mime};base64,{data}")
    folded = noted.get("summary", "Details") if role == "details" else ""
    return Prose(_markdown(source), boxed=role == "notice", folded=folded)


def _markdown(source: str) -> Markup:
    """Markdown, with bare LaTeX environments (JupyterLab typesets them) as display formulas."""
    return Markup(_ENVIRONMENT.sub(lambda match: match["keep"] or f"$${match['math']}$$", source), reader="markdown")


def _output(output: NotebookNode, captions: Captions, key: str) -> Iterator[Block]:
    if output.output_type == "stream":
        yield Verbatim(strip_ansi(output.text).rstrip(), "output")
        return
    if output.output_type == "error":
        yield Verbatim(strip_ansi("\n".join(output.traceback)), "error")
        return
    noted = output.metadata.get(key, {})
    kind = noted.get("kind")
    body = _best(output, noted)
    if body is None or kind == "caption":
        return
    if kind in get_args(FigureKind):
        caption = Markup(noted.get("caption", ""), inline=True)
        yield Figure(kind, captions.number(kind, noted.get("name", "")), caption, body, bool(noted.get("float")))
    else:
        yield body


def _best(output: NotebookNode, noted: dict) -> Prose | Picture | Verbatim | None:
    """Return the output's best static representation, None where it has none."""
    data = output.data
    mime = next((mime for mime in _MIME_PRIORITY if mime in data), None)
    if mime is None or (mime == "text/plain" and _WIDGET in data):
        return None
    if mime.startswith("image/"):
        return _picture(output, mime, noted)
    if mime == "text/html":
        return Prose(Markup(data[mime], reader="html"))
    if mime == "text/plain":
        return Verbatim(strip_ansi(data[mime]), "output")
    return Prose(_markdown(data[mime]))


def _picture(output: NotebookNode, mime: str, noted: dict) -> Picture:
    data = output.data[mime]
    image = Image(mime, data.encode() if mime == "image/svg+xml" else base64.b64decode(data))
    width = noted.get("width")
    if width is None and (pixels := output.metadata.get(mime, {}).get("width")):
        width = f"{pixels}px"
    alt = noted.get("alt") or output.data.get("text/plain", "")
    return Picture(image, alt, width)
