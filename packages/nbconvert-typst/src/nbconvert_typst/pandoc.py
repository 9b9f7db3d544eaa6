"""Markdown and HTML to HTML or Typst: a whole document in one pandoc process."""

import base64
import mimetypes
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import unquote_to_bytes

from nbconvert_typst.tools import run_pandoc

_SCRIPT = Path(__file__).parent / "templates" / "pandoc" / "convert.lua"


@dataclass
class Markup:
    """A piece of text to convert; `convert` fills `rendered`."""

    source: str
    reader: Literal["markdown", "html"] = "markdown"
    #: A single paragraph is rendered without its paragraph element, as a caption needs it.
    inline: bool = False
    rendered: str = ""


@dataclass(frozen=True)
class Anchor:
    """A target inside the document: its id, and the label a reader sees ("Figure 3")."""

    id: str
    label: str


@dataclass(frozen=True)
class Heading:
    level: int
    id: str
    number: str
    #: In the target format.
    text: str


@dataclass(frozen=True)
class Image:
    mime: str
    data: bytes

    def data_uri(self) -> str:
        return f"data:{self.mime};base64,{base64.b64encode(self.data).decode()}"


@dataclass(frozen=True)
class Conversion:
    """Headings of all pieces in order, and pictures by the name that the markup uses."""

    headings: list[Heading]
    images: dict[str, Image]


def convert(
    pieces: list[Markup],
    to: Literal["html", "typst"],
    *,
    anchors: dict[str, Anchor],
    folder: Path,
    numbered: bool = False,
    shift: int = 0,
) -> Conversion:
    """Render every piece in place.

    anchors: targets that `[text](#name)` may name, besides the headings of the pieces themselves.
    folder: where relative pictures are looked up. numbered, shift: number the headings, and lower them by
    so many levels. Raises ExportError where pandoc fails or is missing.
    """
    answer = run_pandoc(
        _SCRIPT,
        {
            "to": to,
            "numbered": numbered,
            "shift": shift,
            "folder": str(folder),
            "anchors": {name: vars(anchor) for name, anchor in anchors.items()},
            "pieces": [{"source": p.source, "reader": p.reader, "inline": p.inline} for p in pieces],
        },
    )
    for piece, rendered in zip(pieces, answer["pieces"], strict=True):
        piece.rendered = rendered
    return Conversion(
        headings=[Heading(**heading) for heading in answer["headings"]],
        images={image["name"]: _load_image(image["source"], folder) for image in answer["images"]},
    )


def _load_image(source: str, folder: Path) -> Image:
    if not source.startswith("data:"):
        mime = mimetypes.guess_type(source)[0] or "application/octet-stream"
        return Image(mime, (folder / source).read_bytes())
    header, _, payload = source.removeprefix("data:").partition(",")
    mime, _, encoding = header.partition(";")
    data = unquote_to_bytes(payload)
    return Image(mime, base64.b64decode(data) if encoding.endswith("base64") else data)
