"""MathJax's tables of formulas, which are matrices, aligned equations and numbered ones, as Typst."""

from dataclasses import dataclass, replace
from typing import Any

from nbconvert_typst.typst_code import EMPTY, SSCRIPT, TEXT, Style, ems, join, space, tag_of

_COLUMN_GAP, _ROW_GAP = 0.8, 0.4  # em
_DISPLAY_GAP = 0.2  # em, more between rows of display size, which TeX's struts keep apart
_LINE_GAP = 0.5  # em, between a line and the columns beside it
_LINES = ("solid", "dashed")
_STRUT = "#box(width: 0em, height: 1.3em, baseline: 0.45em)"  # keeps the rows of a table with lines from them


@dataclass(frozen=True)
class _Table:
    """A table's cells as code, and the options of the matrix that holds them."""

    rows: list[list[str]]
    options: str
    #: The number of each row, as content.
    tags: list[str]

    def matrix(self) -> str:
        # The blank before the semicolon keeps it apart from code, which it would end.
        return f"mat({self.options}, {' ; '.join(', '.join(row) for row in self.rows)} )"


def matrix(writer: Any, node: Any, style: Any) -> str:
    """Return a table inside a formula; numbers that its rows may have are left out."""
    framed = node.get("frame") in _LINES
    table = _table(writer, node, style.boxed() if framed else style)
    if not table.rows:
        return ""
    # See _menclose about the leading.
    return f"#box(stroke: 0.5pt, {{ set par(leading: 0pt); ${table.matrix()}$ }})" if framed else table.matrix()


def display(writer: Any, node: Any, style: Any) -> str | None:
    """Return a table that is a display formula, with what the page has to do with: numbers, and lines at its margins.

    None where it is nothing but a matrix.
    """
    rows = [row for row in node if len(row)]
    if node.get("width") == "100%" and rows and all(len(_cells(row)) == 1 for row in rows):
        return _multline(writer, rows, style)
    if len(rows) == 1 and (tag := _tag(writer, rows[0])) and len(_cells(rows[0])) == 1:
        body = writer.row(_cells(rows[0])[0], replace(style, display=True)) or EMPTY
        return f"#math.equation(block: true, numbering: (..) => {tag}, $ {body} $)"
    table = _table(writer, node, style)
    if not any(table.tags):
        return None
    width = max(map(len, table.rows))
    for index, row in enumerate(table.rows):
        row += [EMPTY] * (width - len(row)) + [f"#tags.at({index})"]
        row[0] = f"#h(indent) {row[0]}"
    tags = ", ".join(tag or "[]" for tag in table.tags)
    # The matrix is measured without its numbers; these then go to the margin, and as much room to the other side.
    return (
        f"#layout(area => {{ let rows(indent, tags) = $ {table.matrix()} $; let tags = ({tags},); "
        "let width = measure(rows(0pt, tags.map(tag => []))).width; "
        "let widest = calc.max(..tags.map(tag => measure(tag).width)); "
        "let room = calc.max((area.width - width) / 2, widest + 1em.to-absolute()); "
        "let fit = calc.min(1, area.width / (width + 2 * room)); set text(size: 1em * fit); "
        "rows(room * fit, tags.map(tag => { h((room - measure(tag).width) * fit); tag })) })"
    )


def _multline(writer: Any, rows: list[Any], style: Any) -> str:
    tag = next(filter(None, (_tag(writer, row) for row in rows)), None)
    lines = []
    for row in rows:
        (cell,) = _cells(row)
        align = next((a for a in (cell.get("columnalign"), row.get("columnalign")) if a in ("left", "right")), "center")
        body = writer.write(cell, replace(style, display=True, here=TEXT)) or EMPTY
        lines.append(f"#box(width: {'86%' if tag else '100%'}, align({align}, ${body}$))")
    numbering = f"numbering: (..) => {tag}, number-align: bottom, " if tag else ""
    body = " \\ ".join(lines)
    return f"#math.equation(block: true, {numbering}$ {body} $)"


def _table(writer: Any, node: Any, style: Any) -> _Table:
    small = node.get("data-mjx-smallmatrix") == "true"
    inner = replace(
        style,
        display=node.get("displaystyle") == "true",
        level=style.level + small,
        here=min(style.here + 1, SSCRIPT),
    )
    rows = [row for row in node if tag_of(row) in ("mtr", "mlabeledtr")]
    columns = max((len(_cells(row)) for row in rows), default=0)
    lines = _repeated(node.get("columnlines"), columns - 1, "none")
    aligns = _repeated(node.get("columnalign"), columns, "center")
    gaps = [_gap(gap, _COLUMN_GAP) for gap in _repeated(node.get("columnspacing"), columns - 1, "")]
    enclosed = node.get("frame") in _LINES or node.getparent().get("data-padding") == "0"
    edge = _LINE_GAP if enclosed else 0
    pads = [edge, *(max(gap / 2, _LINE_GAP * (line in _LINES)) for gap, line in zip(gaps, lines, strict=True)), edge]
    code = []
    for row in rows:
        cells = enumerate(_cells(row))
        code.append([_cell(writer, cell, inner, aligns[c], pads[c], pads[c + 1]) for c, cell in cells])
        if code[-1] and (enclosed or not {*lines, *_repeated(node.get("rowlines"), 1, "none")}.isdisjoint(_LINES)):
            code[-1][0] += _STRUT
    return _Table(code, _options(node, len(rows), lines), [_tag(writer, row) or "" for row in rows])


def _cell(writer: Any, cell: Any, style: Any, align: str, before: float, after: float) -> str:
    code = writer.write(cell, style)
    code = join([space(before) if before else "", code, space(after) if after else ""])
    if align == "right":
        return f"{code}&"
    return f"&{code}" if align == "left" else code or EMPTY


def _options(node: Any, rows: int, lines: list[str]) -> str:
    """Return the gap between rows, and the lines between columns and rows."""
    between = _repeated(node.get("rowlines"), rows - 1, "none")
    gaps = [_gap(gap, _ROW_GAP) for gap in _repeated(node.get("rowspacing"), rows - 1, "")]
    vertical = [column for column, line in enumerate(lines, 1) if line in _LINES]
    horizontal = [row for row, line in enumerate(between, 1) if line in _LINES]
    gap = max(gaps, default=0) + (_DISPLAY_GAP if node.get("displaystyle") == "true" else 0)
    options = f"delim: #none, column-gap: #0pt, row-gap: #{gap:g}em"
    if not vertical and not horizontal:
        return options
    dashed = {*lines, *between} <= {"dashed", "none"}
    stroke = '(thickness: 0.5pt, dash: "dashed")' if dashed else "0.5pt"
    places = [
        f"{name}: ({', '.join(map(str, at))},)" for name, at in (("vline", vertical), ("hline", horizontal)) if at
    ]
    return f"{options}, augment: #({', '.join(places)}, stroke: {stroke})"


def _gap(value: str, default: float) -> float:
    gap = ems(value)
    return default if gap is None else max(gap, 0)


def _repeated(value: str | None, count: int, default: str) -> list[str]:
    """Return an entry for each column or row: the last one of an attribute holds for those that follow."""
    entries = (value or default).split() or [default]
    return [entries[min(index, len(entries) - 1)] for index in range(max(count, 0))]


def _cells(row: Any) -> list[Any]:
    return list(row)[1:] if tag_of(row) == "mlabeledtr" else list(row)


def _tag(writer: Any, row: Any) -> str | None:
    """Return the number of a row, with the label that references link to, as content."""
    if tag_of(row) != "mlabeledtr":
        return None
    number = writer.row(row[0], Style(False, 0, TEXT))
    return f"[${number}${writer.anchor(row[0].get('id'))}]"
