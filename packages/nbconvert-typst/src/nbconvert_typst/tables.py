"""Tables of HTML as a grid, tidied as pandas' tables need it."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace

from lxml import etree
from lxml.html import HtmlElement

from nbconvert_typst.css import declarations

_LONG = 32  # characters; a column with a longer cell is prose and may wrap
#: Texts of a cell without a value.
MISSING = {"", "–", "—", "-", "...", "…", "nan", "NaN", "None", "<NA>", "NaT", "n/a"}
_SIGNS = str.maketrans("", "", "−–±×")
_NUMBER = re.compile(r"(?=.*\d)[\d\s.,%+()\[\]/e-]+", re.DOTALL)


@dataclass(frozen=True)
class Cell:
    """A cell at its place in the grid, counted from 0; `element` is its <td> or <th>."""

    x: int
    y: int
    colspan: int
    rowspan: int
    element: HtmlElement

    @property
    def text(self) -> str:
        return " ".join(self.element.text_content().split())

    @property
    def lines(self) -> list[str]:
        """Text between the line breaks: of "41.8<br><small>published 41.0</small>" the first is a number."""
        parts = [""]
        for event, node in etree.iterwalk(self.element, events=("start", "end")):
            if event == "start" and node.tag == "br":
                parts.append("")
            elif event == "start" or node is not self.element:
                parts[-1] += (node.text if event == "start" else node.tail) or ""
        return [" ".join(part.split()) for part in parts]


@dataclass(frozen=True)
class Table:
    """The cells of a table, row by row."""

    columns: int
    header_rows: int
    cells: list[Cell]
    aligns: list[str]
    caption: HtmlElement | None

    @property
    def rows(self) -> int:
        return max((cell.y + cell.rowspan for cell in self.cells), default=0)

    @property
    def leading(self) -> int:
        """Number of columns on the left that name the rows, as the index of a data frame does."""
        count = self.columns
        for cell in self.cells:
            if cell.y >= self.header_rows and cell.element.tag == "td":
                count = min(count, cell.x)
        return count if count < self.columns else 0

    @property
    def long(self) -> list[int]:
        """Columns with prose, which may wrap, or with pictures, which may shrink."""
        long = {
            cell.x
            for cell in self.cells
            if cell.colspan == 1 and (len(cell.text) > _LONG or cell.element.find(".//img") is not None)
        }
        return sorted(long)


def table_of(element: HtmlElement) -> Table:
    """Read a <table>; its own rows only, not those of a table inside it."""
    rows = list(_rows(element))
    header_rows = next((n for n, (row, head) in enumerate(rows) if not head), len(rows))
    header = [row for row, _ in rows[:header_rows]]
    body = [row for row, _ in rows[header_rows:]]
    _merge_index_names(header)
    cells = list(_placed(header, 0)) + list(_placed(body, len(header)))
    # A cell alone in its row spans what there is, whatever number it asks for.
    alone = Counter(cell.y for cell in cells)
    ends = [cell.x + (cell.colspan if alone[cell.y] > 1 else 1) for cell in cells]
    columns = max(ends, default=0)
    cells = [replace(cell, colspan=min(cell.colspan, columns - cell.x)) for cell in cells]
    return Table(columns, len(header), cells, _aligns(cells, columns, len(header)), element.find("caption"))


def _rows(table: HtmlElement) -> Iterator[tuple[list[HtmlElement], bool]]:
    """Yield the cells of each row, and whether the row is one of the heading."""
    parts = {"thead": 0, "tbody": 1, "tr": 1, "tfoot": 2}
    groups = sorted((each for each in table if each.tag in parts), key=lambda each: parts[each.tag])
    rows = [(row, group.tag == "thead") for group in groups for row in ([group] if group.tag == "tr" else group)]
    heads = any(head for _, head in rows)
    for row, head in rows:
        cells = [cell for cell in row if cell.tag in ("td", "th")]
        if cells:
            # Without <thead> the rows of nothing but <th> at the top are the heading.
            heads = heads or any(cell.tag == "td" for cell in cells)
            yield cells, head or not heads


def _span(element: HtmlElement, name: str) -> int:
    text = element.get(name, "1").strip()
    return min(max(int(text), 1), 1000) if text.isdecimal() else 1


def _placed(rows: list[list[HtmlElement]], top: int) -> Iterator[Cell]:
    """Yield the cells of some rows at their places; a span does not reach beyond the last row."""
    covered: dict[int, int] = {}  # column -> first row that no cell from above covers
    for y, row in enumerate(rows):
        x = 0
        for element in row:
            while covered.get(x, 0) > y:
                x += 1
            colspan, rowspan = _span(element, "colspan"), min(_span(element, "rowspan"), len(rows) - y)
            colspan = next((n for n in range(1, colspan) if covered.get(x + n, 0) > y), colspan)
            yield Cell(x, y + top, colspan, rowspan, element)
            covered.update(dict.fromkeys(range(x, x + colspan), y + rowspan))
            x += colspan


def _merge_index_names(header: list[list[HtmlElement]]) -> None:
    """Move the names of the index, to which pandas gives a row of their own, up into the empty cells."""
    if len(header) < 2 or len(header[-1]) != len(header[-2]):
        return
    pairs = list(zip(header[-2], header[-1], strict=True))
    if any(above.text_content().strip() and name.text_content().strip() for above, name in pairs):
        return
    for above, name in pairs:
        if name.text_content().strip():
            above.text = name.text
            above[:] = list(name)
    header.pop()


def _is_number(text: str) -> bool:
    return bool(_NUMBER.fullmatch(text.translate(_SIGNS)))


def _aligns(cells: list[Cell], columns: int, header_rows: int) -> list[str]:
    """Return how each column is aligned: as it asks for, else to the right where it has numbers only."""
    asked: dict[int, str] = {}
    numbers: set[int] = set()
    words: set[int] = set()
    for cell in cells:
        if cell.colspan == 1 and (align := asked_align(cell.element)):
            asked.setdefault(cell.x, align)
        if cell.y >= header_rows and (text := cell.lines[0]) not in MISSING:
            (numbers if _is_number(text) else words).add(cell.x)
    return [asked.get(x) or ("right" if x in numbers - words else "left") for x in range(columns)]


def asked_align(element: HtmlElement) -> str | None:
    """Return the alignment that a cell asks for itself."""
    align = declarations(element.get("style", "")).get("text-align") or element.get("align", "")
    return align.lower() if align.lower() in ("left", "right", "center") else None


def tidy(element: HtmlElement) -> Table:
    """Bring a <table> into its form for HTML: cells aligned, the headings of rows marked; return its grid."""
    table = table_of(element)
    names = [cell.element for cell in table.cells]
    for row in element.findall("thead/tr"):  # the row of the index names, when it moved up
        if not any(cell in names for cell in row):
            row.drop_tree()
    for cell in table.cells:
        align = asked_align(cell.element) or table.aligns[cell.x]
        if cell.colspan > 1 and cell.y < table.header_rows:
            align = "center"
        style = declarations(cell.element.get("style", "")) | {"text-align": align}
        if align != "left" or "style" in cell.element.attrib:
            cell.element.set("style", "; ".join(f"{name}: {value}" for name, value in style.items()))
        cell.element.attrib.pop("align", None)
        if cell.x == 0 and cell.element.tag == "th" and cell.colspan == 1 < table.columns:
            cell.element.set("class", "stub")
    return table
