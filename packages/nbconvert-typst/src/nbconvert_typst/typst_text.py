"""Text, lengths and colours as Typst writes them."""

import re
import unicodedata
from collections.abc import Iterator

from nbconvert_typst.css import css_length, rgba

_BLANKS = re.compile(r"[ \t\r\n\f]+")
_LITERAL = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n", "\r": r"\n", "\t": "    "})
_PIXEL = 0.75  # points
#: Words of scripts that part words by blanks.
LONG = re.compile("[!-~\u00a1-\u024f\u2500-\u259f]{36,}")
_COLUMNS = 96  # characters of an output's line
_LONG_OUTPUT = re.compile(rf"\S{{{_COLUMNS // 2},}}")
_LINES = 50
_LONG_LINES = 100  # of code; Typst cannot break more of them in one block


def literal(text: str) -> str:
    """Return `text` as a Typst string."""
    printable = "".join(char for char in text if char >= " " or char in "\n\r\t")
    return f'"{printable.translate(_LITERAL)}"'


def length(size: str | None) -> str:
    """Return a CSS length ("60%", "300px") as Typst writes it."""
    found = css_length(size) if size else None
    match = re.fullmatch(r"([\d.]+)(.*)", found or "")
    if match is None:
        return "auto"
    number, unit = float(match[1]), match[2]
    factor, typst_unit = {
        "px": (_PIXEL, "pt"), "rem": (1, "em"), "ex": (0.5, "em"), "ch": (0.5, "em"), "pc": (12, "pt"), "vw": (1, "%"),
    }.get(unit, (1, unit))  # fmt: skip
    return f"{number * factor:g}{typst_unit}"


def color(value: str | None) -> str | None:
    """Return a CSS colour as a Typst one, None where it is none."""
    return f'rgb("{found}")' if (found := rgba(value)) else None


def wrapped(text: str) -> str:
    """Return the text of an output with its long words broken at the width of the page, and tabs, as in a terminal."""
    return _LONG_OUTPUT.sub(lambda match: "\n".join(_chunks(match[0])), text.expandtabs(8))


def parts(text: str) -> str:
    """Return the text of an output as strings of some lines each."""
    lines = wrapped(text).split("\n")
    pieces = ("\n".join(lines[start : start + _LINES]) for start in range(0, len(lines), _LINES))
    # A raw element drops an empty first line.
    return ", ".join(literal(f" {piece}" if piece.startswith("\n") else piece) for piece in pieces)


def _chunks(word: str) -> Iterator[str]:
    start, width = 0, 0
    for index, char in enumerate(word):
        width += 2 if unicodedata.east_asian_width(char) in "WF" else 1
        if width > _COLUMNS:
            yield word[start:index]
            start, width = index, 2 if unicodedata.east_asian_width(char) in "WF" else 1
    yield word[start:]


def code_text(text: str) -> str:
    """Return code as style.typ can set it: where too many of its words are long, they are broken here."""
    text = text.expandtabs(4)
    return wrapped(text) if len(_LONG_OUTPUT.findall(text)) > _LONG_LINES else text


def markup(text: str | None) -> str:
    """Return text of HTML as markup: strings, in which no sign means anything to Typst, with the blanks around it."""
    pieces = _BLANKS.split(text or "")
    lead, trail = (" " if len(pieces) > 1 and not end else "" for end in (pieces[0], pieces[-1]))
    words = [piece for piece in pieces if piece]
    if not words:
        return lead
    runs = [""]
    for number, word in enumerate(words):
        blank = " " if number else ""
        if LONG.fullmatch(word):
            runs[-1] += blank
            runs += [f"#long({literal(word)})", ""]
        else:
            runs[-1] += blank + word
    written = (run if n % 2 else f"#{literal(run)}" for n, run in enumerate(runs) if run)
    return lead + "".join(written) + trail
