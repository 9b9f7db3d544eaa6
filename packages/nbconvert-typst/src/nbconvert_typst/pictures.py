"""Pictures: recognised by their first bytes, checked, and brought into a form that Typst and browsers show."""

import base64
import binascii
import io
import re
from dataclasses import dataclass
from html import unescape
from urllib.parse import unquote_to_bytes

from lxml import etree
from PIL import Image

from nbconvert_typst.errors import PictureError, TypesettingError
from nbconvert_typst.tools import pdf_to_svg

#: Pillow's names of the raster formats that Typst and browsers show as they are.
_RASTER = {"PNG": ("png", "image/png"), "JPEG": ("jpg", "image/jpeg"), "GIF": ("gif", "image/gif"),
           "WEBP": ("webp", "image/webp")}  # fmt: skip
_ORIENTATION = 0x0112  # in EXIF
_SVG_SPACE = "http://www.w3.org/2000/svg"
_XLINK = "{http://www.w3.org/1999/xlink}href"
_TAG = re.compile(r"<[a-zA-Z](?:[^<>\"']|\"[^\"]*\"|'[^']*')*>")
_ATTRIBUTE = re.compile(r"\s*\b([\w:-]+)\s*=\s*(\"[^\"]*\"|'[^']*'|[^\s\"'>/]+)")
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
    """Check an SVG, in which browsers let more pass than XML does, and take out what it would load."""
    root = None
    parser = etree.XMLParser(resolve_entities=False, no_network=True, huge_tree=True)
    for read in (bytes, _as_xml):
        try:
            root = etree.fromstring(read(data), parser)
            break
        except etree.XMLSyntaxError as error:
            reason = error.msg
    if root is None:
        raise PictureError(f"malformed SVG: {reason}")
    for element in root.iter("{*}image"):
        address = element.get("href") or element.get(_XLINK) or ""
        if not address.strip().startswith(("data:", "#")) and element.getparent() is not None:
            element.tag = f"{{{_SVG_SPACE}}}g"  # without the picture
    return Picture(etree.tostring(root), "svg", "image/svg+xml")


def _as_xml(data: bytes) -> bytes:
    """Return an SVG as XML: names of HTML's characters, attributes without quotes or blanks, prefixes not declared."""
    text = data.decode("utf-8", "replace")
    text = re.sub(r"&(?!#|amp;|lt;|gt;|quot;|apos;)(\w+;)", lambda match: unescape(match[0]), text)
    text = re.sub(r"&(?![#\w]+;)", "&amp;", text)
    text = _TAG.sub(lambda tag: _ATTRIBUTE.sub(_quoted, tag[0]), text)
    missing = ""
    if "xlink:" in text and "xmlns:xlink" not in text:
        missing += ' xmlns:xlink="http://www.w3.org/1999/xlink"'
    if not re.search(r"<svg\b[^>]*\sxmlns=", text):
        missing += f' xmlns="{_SVG_SPACE}"'
    return re.sub(r"<svg\b", f"<svg{missing}", text, count=1).encode()


def _quoted(match: re.Match) -> str:
    value = match[2] if match[2][:1] in ("'", '"') else f'"{match[2]}"'
    return f" {match[1]}={value}"


def _raster(data: bytes) -> Picture:
    name = "picture"
    try:
        with Image.open(io.BytesIO(data)) as image:
            name = image.format or name
            image.load()
            if name in _RASTER:
                turned = image.getexif().get(_ORIENTATION) in (5, 6, 7, 8)  # as photographs of phones are
                return Picture(data, *_RASTER[name], image.height if turned else image.width)
            mode = image.mode if image.mode in ("1", "L", "LA", "RGB", "RGBA") else "RGBA"
            image.convert(mode).save(buffer := io.BytesIO(), "PNG")
            return Picture(buffer.getvalue(), "png", "image/png", image.width)
    except Image.UnidentifiedImageError:
        raise PictureError("not a known picture format") from None
    except Image.DecompressionBombError:
        raise PictureError(f"{name} with too many pixels") from None
    except Exception as error:  # Pillow's readers raise whatever a damaged file leads to
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
