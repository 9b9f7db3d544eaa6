"""Blocks of a document, from which both templates are filled."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from lxml.html import HtmlElement

from nbconvert_typst.captions import Anchor, FigureKind
from nbconvert_typst.css import html_size
from nbconvert_typst.pictures import Picture as PictureData


@dataclass(frozen=True)
class Prose:
    """Markdown or HTML, a table of an output included."""

    kind: ClassVar = "prose"
    tree: HtmlElement
    boxed: bool = False  # set in a box
    folded: str = ""  # summary of the fold in HTML; such a cell is not in the PDF
    of_output: bool = False
    prompt: str = ""


@dataclass(frozen=True)
class Contents:
    """The place of the table of contents."""

    kind: ClassVar = "contents"


@dataclass(frozen=True)
class Code:
    kind: ClassVar = "code"
    text: str
    language: str
    prompt: str = ""


@dataclass(frozen=True)
class Verbatim:
    """Text as it is; `tree` is a <pre> with its colours, where it has some."""

    kind: ClassVar = "verbatim"
    text: str
    role: Literal["output", "error", "raw"]
    tree: HtmlElement | None = None
    prompt: str = ""


@dataclass(frozen=True)
class Picture:
    kind: ClassVar = "picture"
    name: str  # in Reading.pictures
    data: PictureData
    alt: str
    #: As CSS writes them, "60%" of the text or "300px"; None is the picture's own.
    width: str | None
    height: str | None
    prompt: str = ""

    @property
    def style(self) -> str:
        return html_size(self.width, self.height)


@dataclass(frozen=True)
class RawMarkup:
    """A raw cell in the markup of the output itself."""

    kind: ClassVar = "raw"
    text: str


@dataclass(frozen=True)
class Figure:
    """A numbered figure or table with its caption."""

    kind: ClassVar = "figure"
    of: FigureKind
    anchor: Anchor
    caption: HtmlElement
    body: "Prose | Picture | Verbatim"
    floating: bool = False  # may move to the bottom of a page of the PDF


Block = Prose | Contents | Code | Verbatim | Picture | RawMarkup | Figure
