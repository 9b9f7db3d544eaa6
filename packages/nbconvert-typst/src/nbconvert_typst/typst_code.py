"""Pieces of Typst's math, and what MathML means by sizes and lengths."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from nbconvert_typst.typst_text import literal

DISPLAY, TEXT, SCRIPT, SSCRIPT = range(4)  # Typst's sizes of math
SIZE_FUNCTIONS = ("display", "inline", "script", "sscript")

EMPTY = "#box()"

_LENGTH = re.compile(r"\+?(-?[0-9]*\.?[0-9]+)(em|ex|mu|pt|px|in|cm|mm|pc)")

_LONGEST = 100  # em; what is longer leaves the page anyway

# How much of a unit an em is.
_PER_EM = {"em": 1, "ex": 2.32, "mu": 18, "pt": 10, "px": 16, "pc": 10 / 12, "in": 10 / 72, "cm": 0.353, "mm": 3.53}
_NAMED = {  # in em
    "veryverythinmathspace": 0.056,
    "verythinmathspace": 0.111,
    "thinmathspace": 0.167,
    "mediummathspace": 0.222,
    "thickmathspace": 0.278,
    "verythickmathspace": 0.333,
    "veryverythickmathspace": 0.389,
    "negativethinmathspace": -0.167,
    "negativemediummathspace": -0.222,
    "negativethickmathspace": -0.278,
}


@dataclass(frozen=True)
class Style:
    """The size that MathML asks for, and the one that Typst would take by itself at this place."""

    display: bool
    level: int
    here: int

    @property
    def size(self) -> int:
        return min(SCRIPT + self.level - 1, SSCRIPT) if self.level else TEXT - self.display

    def smaller(self, levels: int, here: int) -> "Style":
        return Style(False, self.level + levels, here)

    def boxed(self) -> "Style":
        """Return the style inside a box, where Typst begins anew with an inline formula."""
        return replace(self, here=TEXT)


def raw(source: str, block: bool) -> str:
    """Return the source of a formula as it is."""
    return f"#raw({literal(source)}{', block: true' if block else ''})"


def symbol(text: str) -> str:
    """Return characters that Typst takes as symbols: its own classes and its own styles apply."""
    return join(c if c.isascii() and c.isalnum() else f"\\u{{{ord(c):x}}}" for c in text)


def join(parts: Iterable[str]) -> str:
    """Put code one after the other, with a blank only where two names or numbers would become one."""
    result = ""
    for part in parts:
        glued = result[-1:].isalnum() and part[:1].isalnum()
        result += f" {part}" if glued else part
    return result


def ems(value: str | None) -> float | None:
    """Return a length of MathML in em, None where it is none."""
    value = (value or "").strip()
    match = _LENGTH.fullmatch(value)
    if match is None:
        return 0 if value == "0" else _NAMED.get(value)
    return round(max(-_LONGEST, min(float(match[1]) / _PER_EM[match[2]], _LONGEST)), 3)


def space(width: float, more: str = "") -> str:
    """Return a space that, unlike `h()`, leaves the spacing of the operators beside it as it is."""
    return f"#h({width:g}em)" if width < 0 else f"#box(width: {width:g}em{more})"


def tag_of(node: Any) -> str:
    """Return an element's name; a comment or nothing has none."""
    tag = getattr(node, "tag", None)
    return tag.rpartition("}")[2] if isinstance(tag, str) else ""


def core(node: Any) -> Any:
    """Return what a row of one child consists of."""
    while tag_of(node) in ("mrow", "mstyle", "mpadded") and len(node) == 1:
        node = node[0]
    return node
