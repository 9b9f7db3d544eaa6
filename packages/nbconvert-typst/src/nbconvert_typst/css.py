"""The part of CSS that the exporters follow: declarations, lengths, colours."""

import re
from collections.abc import Mapping

from tinycss2 import parse_blocks_contents, serialize
from tinycss2.color4 import parse_color

_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?|\.\d+)\s*(px|%|pt|pc|in|cm|mm|em|rem|ex|ch|vw)?\s*", re.IGNORECASE)


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
    found = parse_blocks_contents(style, skip_comments=True, skip_whitespace=True)
    return {each.lower_name: serialize(each.value).strip() for each in found if each.type == "declaration"}


def rgba(value: str | None) -> str | None:
    """Return a colour as "#rrggbb", with "aa" where it is not opaque; None where it is none or cannot be seen."""
    try:
        color = parse_color(value or "")
        red, green, blue = color.to("srgb").coordinates
    except (AttributeError, NotImplementedError, ValueError, TypeError):  # no colour, or that of the text
        return None
    parts = (red, green, blue) if color.alpha == 1 else (red, green, blue, color.alpha)
    return None if color.alpha == 0 else "#" + "".join(f"{round(255 * min(max(part, 0), 1)):02x}" for part in parts)


def background(style: Mapping[str, str]) -> str | None:
    """Return the colour behind an element with these declarations."""
    return rgba(style.get("background-color")) or rgba(style.get("background"))


def is_bold(style: Mapping[str, str]) -> bool:
    """Tell whether declarations ask for bold type."""
    return style.get("font-weight") in ("bold", "bolder", "600", "700", "800", "900")


def is_hidden(style: Mapping[str, str]) -> bool:
    """Tell whether declarations hide an element."""
    return style.get("display") == "none" or style.get("visibility") == "hidden"


def html_size(width: str | None, height: str | None) -> str:
    """Return the style of a picture of this size; where it has to be narrower, its form stays."""
    pixels = [size[:-2] for size in (width, height) if size and size.endswith("px")]
    if len(pixels) == 2:
        return f"width: {width}; aspect-ratio: {pixels[0]} / {pixels[1]}"
    sizes = {"width": width, "height": height, "object-fit": "contain" if height else None}
    return "; ".join(f"{name}: {size}" for name, size in sizes.items() if size)
