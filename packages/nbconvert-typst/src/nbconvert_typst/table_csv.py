"""The figures of a table as CSV: value, low and high of an interval apart."""

import csv
import io
import re
from dataclasses import dataclass
from decimal import Decimal
from urllib.parse import quote

from nbconvert_typst.tables import MISSING, Table

_NUMBER = r"[-+]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:e[-+]?\d+)?"
_FIGURE = re.compile(
    rf"(?P<value>{_NUMBER})(?:\s*±\s*(?P<error>{_NUMBER})|\s*\[(?P<low>{_NUMBER}),\s*(?P<high>{_NUMBER})\])?"
    r"(?:\s*(?P<unit>%)|\s+(?P<letters>[^\W\d_]+))?"  # 4812abcf is a name
)


@dataclass(frozen=True)
class _Figure:
    """Content of a cell: a number as text, the ends of its interval and its unit, or the cell's words as the value."""

    value: str
    low: str = ""
    high: str = ""
    unit: str | None = None  # None where the cell is no number


def csv_of(table: Table) -> str:
    """Return a table as CSV; "" where none of its cells is a number.

    A column with intervals, "40.6 ± 1.3" or "+0.8 [−0.8, +2.4]", becomes three. Its name takes the unit that all of its
    numbers have; where units differ they stay in the cells. A cell that spans rows or columns stands in each of them.
    """
    names, body = [""] * table.columns, [[""] * table.columns for _ in range(table.rows - table.header_rows)]
    for cell in table.cells:
        words = " ".join(cell.lines).strip()
        for x in range(cell.x, cell.x + cell.colspan):
            if cell.y < table.header_rows:
                names[x] = f"{names[x]} {words}".strip()
            else:
                for y in range(cell.y, cell.y + cell.rowspan):
                    body[y - table.header_rows][x] = words
    columns = [_column(name, [row[x] for row in body]) for x, name in enumerate(names)]
    if all(figure.unit is None for _, figures in columns for figure in figures):
        return ""
    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\n")
    split = [any(figure.low for figure in figures) for _, figures in columns]
    parts = [("", " low", " high") if has else ("",) for has in split]
    writer.writerow(name + part for (name, _), own in zip(columns, parts, strict=True) for part in own)
    for y in range(len(body)):
        row = [(figures[y], has) for (_, figures), has in zip(columns, split, strict=True)]
        writer.writerow(
            text for each, has in row for text in ((each.value, each.low, each.high) if has else (each.value,))
        )
    return written.getvalue()


def data_uri(text: str) -> str:
    """Return CSV as an address that holds it."""
    return f"data:text/csv;charset=utf-8,{quote(text, safe='/,.()[]=+')}"


def _column(name: str, texts: list[str]) -> tuple[str, list[_Figure]]:
    figures = [_figure(text) for text in texts]
    if any(figure.unit is None and figure.value for figure in figures):  # a column of words, with or without numbers
        return name, [_Figure("" if text in MISSING else text) for text in texts]
    units = {figure.unit for figure in figures if figure.unit is not None}
    if len(units) > 1:
        return name, [_Figure(text) if figure.unit else figure for figure, text in zip(figures, texts, strict=True)]
    unit = next(iter(units), "")
    return f"{name} ({unit})".strip() if unit and f"({unit})" not in name else name, figures


def _figure(text: str) -> _Figure:
    if text in MISSING:
        return _Figure("")
    plain = text.translate({ord("−"): "-", ord("–"): "-"})
    if not (found := _FIGURE.fullmatch(plain)):
        return _Figure(text)
    value, error, low, high = (part and part.replace(",", "").removeprefix("+") for part in found.groups()[:4])
    if error:
        low, high = f"{Decimal(value) - Decimal(error)}", f"{Decimal(value) + Decimal(error)}"
    return _Figure(value, low or "", high or "", found["unit"] or found["letters"] or "")
