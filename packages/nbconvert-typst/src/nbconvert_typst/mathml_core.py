"""MathJax's MathML made good in browsers, which implement MathML Core and have none of MathJax's styles."""

import re
import unicodedata
from typing import Any

from nbconvert_typst.formulas import NAMESPACE
from nbconvert_typst.typst_code import ems, tag_of
from nbconvert_typst.typst_symbols import OVER, UNDER

_HTML = "http://www.w3.org/1999/xhtml"
_LINK = re.compile(r"(?:https?:|mailto:|#)", re.IGNORECASE)
_COLOUR = re.compile(r"(?:background-)?color\s*:\s*(?:#[0-9a-f]{3,8}|[a-z]+)", re.IGNORECASE)
_NUMBER = "mjx-eqn:"  # begins the id of a numbered equation
_SETTLED = ("class", "style", "id", "title", "mathvariant")
_SPACES = {"BIN": ("0.222em", "0.222em"), "REL": ("0.278em", "0.278em"), "PUNCT": ("0", "0.167em")}
_ALIGNS = {name: f"-webkit-{name}" for name in ("left", "center", "right")}  # CSS's own align no formulas
_SCRIPTED = ("msub", "msup", "msubsup", "munder", "mover", "munderover", "mmultiscripts")
_ORDINARY = (*_SCRIPTED, "mi", "mn", "mtext", "mrow", "mfrac", "msqrt", "mroot")
_LINES = {"solid": "thin solid", "dashed": "thin dashed"}

#: How Unicode's names of mathematical letters begin. The few that are missing there have an older name.
_ALPHABETS = {
    "bold": "MATHEMATICAL BOLD",
    "italic": "MATHEMATICAL ITALIC",
    "bold-italic": "MATHEMATICAL BOLD ITALIC",
    "double-struck": "MATHEMATICAL DOUBLE-STRUCK",
    "fraktur": "MATHEMATICAL FRAKTUR",
    "bold-fraktur": "MATHEMATICAL BOLD FRAKTUR",
    "script": "MATHEMATICAL SCRIPT",
    "bold-script": "MATHEMATICAL BOLD SCRIPT",
    "sans-serif": "MATHEMATICAL SANS-SERIF",
    "bold-sans-serif": "MATHEMATICAL SANS-SERIF BOLD",
    "sans-serif-italic": "MATHEMATICAL SANS-SERIF ITALIC",
    "sans-serif-bold-italic": "MATHEMATICAL SANS-SERIF BOLD ITALIC",
    "monospace": "MATHEMATICAL MONOSPACE",
}
_OLDER = {"double-struck": "DOUBLE-STRUCK", "fraktur": "BLACK-LETTER", "script": "SCRIPT"}
_UNICODE_NAMES = re.compile("LATIN |GREEK |LETTER |LUNATE ")


def for_browsers(math: Any) -> None:
    """Change a <math> of `formulas.Typeset` in place."""
    nodes = list(math.iter("{*}*"))
    for node in nodes:
        _settle(node)
    for node in nodes:
        if change := _CHANGES.get(tag_of(node)):
            change(node)
    for node in math.iter("{*}*"):
        for name in [name for name in node.attrib if name.startswith("data-")]:
            del node.attrib[name]
    for node in nodes:
        _link(node)


def characters(math: Any) -> set[str]:
    """Return the characters that a browser shows of a <math>: it sets a single letter in italics, and draws a root."""
    found = set("".join(math.itertext())) | {"√"}
    single = [
        node.text for node in math.iter("{*}mi") if len(node.text or "") == 1 and "mathvariant" not in node.attrib
    ]
    return found | {_letter(letter, "italic") for letter in single}


def _settle(node: Any) -> None:
    """Remove what a formula may not set, and what MathML Core does not know."""
    values = {name: node.attrib.pop(name) for name in _SETTLED if name in node.attrib}
    if values.get("id", "").startswith(_NUMBER) and tag_of(node.getparent()) == "mlabeledtr":
        node.set("id", values["id"])
    _style(node, *(part for part in map(str.strip, values.get("style", "").split(";")) if _COLOUR.fullmatch(part)))
    variant = values.get("mathvariant")
    if variant == "normal" and tag_of(node) == "mi":
        node.set("mathvariant", variant)
    elif variant in _ALPHABETS and node.text:
        node.text = "".join(_letter(letter, variant) for letter in node.text)


def _letter(letter: str, variant: str) -> str:
    """Return a letter of one of Unicode's mathematical alphabets."""
    if (letter, variant) == ("h", "italic"):
        return "\N{PLANCK CONSTANT}"
    name = _UNICODE_NAMES.sub("", unicodedata.name(letter, ""))
    for alphabet in (_ALPHABETS[variant], _OLDER.get(variant)):
        try:
            return unicodedata.lookup(f"{alphabet} {name}")
        except KeyError:
            continue
    return letter


def _style(node: Any, *declarations: str) -> None:
    if declarations:
        node.set("style", "; ".join(filter(None, [node.get("style"), *declarations])))


def _operator(node: Any) -> None:
    """Give an operator the size and the space that MathJax gives it, where a browser would not."""
    text, row = node.text or "", node.getparent()
    kind = row.get("data-mjx-texclass") if tag_of(row) == "mrow" and len(row) == 1 else node.get("data-mjx-texclass")
    if node.get("data-stretchy") and text:
        node.set("stretchy", "true")
    if text == "\u2061":  # between a function's name and its argument
        following = node.getnext()
        opening = following is None or following.get("data-class") == "OPEN" or tag_of(following) == "mspace"
        node.set("lspace", "0")
        node.set("rspace", "0" if opening else "0.167em")
    elif (len(text) > 1 and text.isalpha()) or " " in text or "\u2006" in text:  # \lim
        node.set("lspace", "0.167em")
        node.set("rspace", "0.167em")
    elif kind and kind not in ("OP", "NONE"):
        node.attrib.update(zip(("lspace", "rspace"), _SPACES.get(kind, ("0", "0")), strict=True))


def _name(node: Any) -> None:
    """Set a function's name apart from what is beside it, as MathJax does for its class."""
    if len(node.text or "") < 2 or not node.text.isalpha() or node.get("data-mjx-auto-op") == "false":
        return
    while tag_of(node.getparent()) in _SCRIPTED and node.getparent()[0] is node:
        node = node.getparent()
    before, after = node.getprevious(), node.getnext()
    if tag_of(node.getparent()) not in ("math", "mrow", "mstyle", "mtd"):
        return
    if tag_of(before) in _ORDINARY or (before is not None and before.get("data-class") == "CLOSE"):
        node.addprevious(node.makeelement(f"{{{NAMESPACE}}}mspace", {"width": "0.167em"}))
    if tag_of(after) in _ORDINARY and after.get("data-mjx-texclass") not in ("INNER", "OPEN"):
        node.addnext(node.makeelement(f"{{{NAMESPACE}}}mspace", {"width": "0.167em"}))


def _marked(node: Any) -> None:
    """Tell accents and bars from scripts above and below."""
    known, name = (OVER, "accent") if tag_of(node) == "mover" else (UNDER, "accentunder")
    mark = node[1] if len(node) == 2 else None
    if tag_of(mark) == "mo" and mark.get("accent") != "false" and mark.text in known:
        node.set(name, "true")
        if mark.text == "\u2015":  # few fonts have a bar that stretches
            node.tag = f"{{{NAMESPACE}}}mrow"
            node.remove(mark)
            _style(
                node, "border-top: thin solid; padding-top: 0.1em" if name == "accent" else "border-bottom: thin solid"
            )


def _padded(node: Any) -> None:
    """MathML Core has no lengths relative to the content, and no numbers without a unit."""
    for name in [name for name, value in node.attrib.items() if value == "0"]:
        node.set(name, "0px")
    relative = [
        name for name in ("width", "height", "depth", "lspace", "voffset") if node.get(name, "").startswith(("+", "-"))
    ]
    if "width" in relative:  # of an arrow's labels
        _style(node, "padding: 0 0.4em")
        relative += [name for name in ("lspace", "voffset") if node.get(name)]
    for name in dict.fromkeys(relative):
        value = ems(node.attrib.pop(name, None))
        if name == "voffset" and value and "width" not in relative:  # \raise, \lower
            node.set(name, f"{value:g}em")


def _space(node: Any) -> None:
    if (width := ems(node.get("width"))) and width < 0:
        del node.attrib["width"]
        _style(node, f"margin-left: {width:g}em")


def _enclosed(node: Any) -> None:
    """Draw strokes with CSS."""
    notations = node.attrib.pop("notation", "").split()
    node.tag = f"{{{NAMESPACE}}}mrow"
    strokes = [_STRIKES[name] for name in notations if name in _STRIKES]
    if strokes:
        _style(node, f"background: {', '.join(strokes)}")
    elif "box" in notations or "roundedbox" in notations or "circle" in notations:
        round_ = {"roundedbox": "border-radius: 0.3em", "circle": "border-radius: 50%"}
        _style(node, "border: thin solid", "padding: 0.3em", *(round_[name] for name in notations if name in round_))
    else:
        _style(
            node, *(f"border-{side}: thin solid" for side in ("left", "right", "top", "bottom") if side in notations)
        )


def _diagonal(direction: str) -> str:
    return f"linear-gradient({direction}, transparent 47%, currentColor 47%, currentColor 53%, transparent 53%)"


_STRIKES = {
    "updiagonalstrike": _diagonal("to bottom right"),
    "downdiagonalstrike": _diagonal("to bottom left"),
    "horizontalstrike": _diagonal("to bottom"),
    "verticalstrike": _diagonal("to right"),
}


def _table(node: Any) -> None:
    """Put a table's alignments, gaps and lines on its cells, and numbers of rows at the right margin."""
    rows = [row for row in node if tag_of(row) in ("mtr", "mlabeledtr")]
    cells = [list(row)[tag_of(row) == "mlabeledtr" :] for row in rows]
    columns = max(map(len, cells), default=0)
    gaps, aligns, lines = (node.attrib.pop(f"column{name}", "").split() for name in ("spacing", "align", "lines"))
    row_gaps, row_lines = (node.attrib.pop(f"row{name}", "").split() for name in ("spacing", "lines"))
    frame = _LINES.get(node.attrib.pop("frame", ""))
    if frame:
        _style(node, f"border: {frame}")
    smaller = node.get("data-mjx-smallmatrix") == "true"
    if smaller:
        node.set("scriptlevel", "1")
    enclosed = frame or node.getparent().get("data-padding") == "0"
    edges = (0.4, 0.4) if enclosed else (0, 0)
    across = _halves(gaps, columns, 0.8, edges)
    down = _halves(row_gaps, len(rows), 0.4, (0.2, 0.2) if enclosed else (0, 0))
    for y, row in enumerate(cells):
        for x, cell in enumerate(row):
            own = cell.attrib.pop("columnalign", None) or rows[y].get("columnalign")
            align = own or (aligns[min(x, len(aligns) - 1)] if aligns else "center")
            padding = " ".join(f"{size:g}em" for size in (down[y][0], across[x][1], down[y][1], across[x][0]))
            _style(cell, f"text-align: {_ALIGNS.get(align, _ALIGNS['center'])}", f"padding: {padding}")
            if x < columns - 1 and lines and (line := _LINES.get(lines[min(x, len(lines) - 1)])):
                _style(cell, f"border-right: {line}")
            if y < len(rows) - 1 and row_lines and (line := _LINES.get(row_lines[min(y, len(row_lines) - 1)])):
                _style(cell, f"border-bottom: {line}")
    for row in rows:
        row.attrib.pop("columnalign", None)
    if any(tag_of(row) == "mlabeledtr" for row in rows):
        _number(node, rows)
    if node.attrib.pop("width", None) == "100%":  # multline
        _style(node, "width: 100%")


def _number(table: Any, rows: list[Any]) -> None:
    """Move the numbers of rows behind them, to the right margin, and leave as much room to the left."""
    _style(table, "width: 100%")
    for row in rows:
        label = row[0] if tag_of(row) == "mlabeledtr" else row.makeelement(f"{{{NAMESPACE}}}mtd")
        row.tag = f"{{{NAMESPACE}}}mtr"
        row.append(label)
        row.insert(0, row.makeelement(f"{{{NAMESPACE}}}mtd", {"style": "width: 50%; padding: 0"}))
        _style(label, "width: 50%", "padding: 0", f"text-align: {_ALIGNS['right']}")


def _halves(gaps: list[str], count: int, default: float, edges: tuple[float, float]) -> list[tuple[float, float]]:
    """Return the padding before and after each column or row, in em: half of the gaps beside it."""
    between = [gaps[min(index, len(gaps) - 1)] if gaps else "" for index in range(count - 1)]
    sizes = [ems(gap) for gap in between]
    halves = [round((default if size is None else max(size, 0)) / 2, 3) for size in sizes]
    return list(zip([edges[0], *halves], [*halves, edges[1]], strict=True)) if count else []


def _link(node: Any) -> None:
    """Put what has an address into a link of HTML, which every browser follows."""
    address = node.attrib.pop("href", None)
    if address is None or not _LINK.match(address) or address == "#" or node.getparent() is None:
        return
    parent, index = node.getparent(), node.getparent().index(node)
    text = parent.makeelement(f"{{{NAMESPACE}}}mtext")
    link = text.makeelement(f"{{{_HTML}}}a", {"href": address}, nsmap={None: _HTML})
    text.append(link)
    parent[index] = text
    if all(tag_of(inner) == "mtext" for inner in node):
        link.text = "".join(node.itertext())
    else:
        inner = link.makeelement(f"{{{NAMESPACE}}}math", nsmap={None: NAMESPACE})
        inner.append(node)
        link.append(inner)


_CHANGES = {
    "mi": _name,
    "mo": _operator,
    "mover": _marked,
    "munder": _marked,
    "mpadded": _padded,
    "mspace": _space,
    "menclose": _enclosed,
    "mtable": _table,
}
