"""Pictures: recognised by their first bytes, checked, and brought into a form that Typst and browsers show."""

import base64
import binascii
import io
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from lxml import etree
from PIL import Image

from nbconvert_typst.errors import PictureError, TypesettingError
from nbconvert_typst.tools import pdf_to_svg

#: Pillow's names of the raster formats that Typst and browsers show as they are.
_RASTER = {"PNG": ("png", "image/png"), "JPEG": ("jpg", "image/jpeg"), "GIF": ("gif", "image/gif"),
           "WEBP": ("webp", "image/webp")}  # fmt: skip
_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?|\.\d+)\s*(px|%|pt|pc|in|cm|mm|em|rem|ex|ch|vw)?\s*", re.IGNORECASE)
_SVG_PROLOGUE = re.compile(rb"\s*(<\?xml.*?\?>|<!--.*?-->|<!DOCTYPE[^>\[]*(\[.*?\])?\s*>|\s)*<(\w+:)?svg\b", re.DOTALL)


@dataclass(frozen=True)
class Picture:
    """The bytes of a picture that has been checked."""

    data: bytes
    suffix: str
    mime: str
    #: Width in CSS pixels where the format has pixels, else None.
    pixels: int | None = None

    def data_uri(self) -> str:
        return f"data:{self.mime};base64,{base64.b64encode(self.data).decode()}"


def picture_of(data: bytes) -> Picture:
    """Check a picture and name its format; one that only Pillow reads becomes a PNG.

    Raises PictureError with the reason where the bytes are no picture, or only a part of one.
    """
    if not data:
        raise PictureError("no data")
    if data.lstrip()[:5] == b"%PDF-":
        return _pdf(data.lstrip())
    if _SVG_PROLOGUE.match(data.removeprefix(b"\xef\xbb\xbf")):
        return _svg(data)
    return _raster(data)


def _pdf(data: bytes) -> Picture:
    try:
        pdf_to_svg(data)
    except TypesettingError as error:
        raise PictureError("damaged PDF") from error
    return Picture(data, "pdf", "application/pdf")


def _svg(data: bytes) -> Picture:
    parser = etree.XMLParser(resolve_entities=False, no_network=True, huge_tree=True)
    try:
        etree.fromstring(data, parser)
    except etree.XMLSyntaxError as error:
        raise PictureError(f"malformed SVG: {error.msg}") from error
    return Picture(data, "svg", "image/svg+xml")


def _raster(data: bytes) -> Picture:
    name = "picture"
    try:
        with Image.open(io.BytesIO(data)) as image:
            name = image.format or name
            image.load()
            if name in _RASTER:
                return Picture(data, *_RASTER[name], image.width)
            mode = image.mode if image.mode in ("1", "L", "LA", "RGB", "RGBA") else "RGBA"
            image.convert(mode).save(buffer := io.BytesIO(), "PNG")
            return Picture(buffer.getvalue(), "png", "image/png", image.width)
    except Image.UnidentifiedImageError:
        raise PictureError("not a known picture format") from None
    except Image.DecompressionBombError:
        raise PictureError(f"{name} with too many pixels") from None
    except (OSError, SyntaxError, ValueError, EOFError, IndexError, MemoryError) as error:
        cut = "truncated" in str(error) or isinstance(error, EOFError)
        raise PictureError(f"truncated {name}" if cut else f"damaged {name}") from error


def decoded(text: str) -> bytes:
    """Return the bytes behind base64, line ends allowed; raise PictureError where it is none."""
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise PictureError("not base64") from error


def from_data_uri(uri: str) -> bytes:
    """Return the bytes of a `data:` address; raise PictureError where it has none."""
    header, comma, payload = uri.partition(",")
    if not comma:
        raise PictureError("no data")
    data = unquote_to_bytes(payload)
    return decoded(data.decode("ascii", "replace")) if header.endswith(";base64") else data


def css_length(value: object) -> str | None:
    """Return a size as CSS writes it ("50%", "300px"; a bare number has pixels), or None where it is none."""
    match = _SIZE.fullmatch(str(value))
    if isinstance(value, bool) or not match or float(match[1]) == 0:
        return None
    return f"{float(match[1]):g}{(match[2] or 'px').lower()}"


def css_size(attributes: Mapping[str, object]) -> tuple[str | None, str | None]:
    """Return width and height of `attributes`; their `style`, where it names one, comes first."""
    style = declarations(str(attributes.get("style") or ""))
    width, height = (
        css_length(style.get(name, "")) or css_length(attributes.get(name)) for name in ("width", "height")
    )
    return width, height


def declarations(style: str) -> dict[str, str]:
    """Return the declarations of a style attribute by lower-case property."""
    pairs = (declaration.partition(":") for declaration in style.split(";"))
    return {name.strip().lower(): value.replace("!important", "").strip() for name, _, value in pairs if value.strip()}
