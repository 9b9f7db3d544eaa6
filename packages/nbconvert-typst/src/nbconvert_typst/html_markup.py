"""A cleaned tree as HTML."""

from collections.abc import Callable
from copy import deepcopy

import lxml.html
from lxml import etree
from lxml.html import HtmlElement

from nbconvert_typst.css import html_size
from nbconvert_typst.table_csv import csv_of, data_uri
from nbconvert_typst.tables import tidy


def inner_html(
    element: HtmlElement,
    address: Callable[[str], str],
    shift: int = 0,
    csv_name: Callable[[], str] | None = None,
) -> str:
    """Return what stands inside a tree that was cleaned and resolved.

    address: gives the `src` of a picture by its name. shift: lowers the headings by so many levels.
    csv_name: gives the name of a table's CSV file; without it no table gets one.
    """
    tree = deepcopy(element)
    for table in list(tree.iter("table")):
        if any(above.tag == "table" for above in table.iterancestors()):
            tidy(table)  # inside a cell, whose box scrolls already
            continue
        grid = tidy(table)
        text = csv_of(grid) if csv_name else ""
        box = _in_scrolling_box(table)
        if text:
            _offer(box, text, csv_name())
    for picture in list(tree.iter("img")):
        _picture(picture, address)
    for heading in list(tree.iterdescendants(*(f"h{level}" for level in range(1, 7)))):
        _heading(heading, shift)
    parts = [_escaped(tree.text)]
    parts += [lxml.html.tostring(child, encoding="unicode") for child in tree]
    return "".join(parts).strip()


def _escaped(text: str | None) -> str:
    return (text or "").replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _in_scrolling_box(table: HtmlElement) -> HtmlElement:
    box = etree.Element("div", {"class": "scroll", "tabindex": "0"})
    box.tail, table.tail = table.tail, None
    table.getparent().replace(table, box)
    box.append(table)
    return box


def _offer(box: HtmlElement, text: str, name: str) -> None:
    """Put a link that saves a table's CSV below the table."""
    line = etree.Element("p", {"class": "csv"})
    link = etree.SubElement(line, "a", {"href": data_uri(text), "download": name, "aria-label": f"CSV: {name}"})
    link.text = "CSV"
    line.tail, box.tail = box.tail, None
    box.addnext(line)


def _picture(element: HtmlElement, address: Callable[[str], str]) -> None:
    style = html_size(element.attrib.pop("data-width", None), element.attrib.pop("data-height", None))
    element.set("src", address(element.attrib.pop("data-name")))
    if style:
        element.set("style", style)


def _heading(element: HtmlElement, shift: int) -> None:
    level = int(element.attrib.pop("data-level"))
    number = element.attrib.pop("data-number")
    element.attrib.pop("class", None)
    element.tag = f"h{min(level + shift, 6)}"
    if number:
        mark = etree.Element("span", {"class": "number"})
        mark.text, mark.tail = number, f" {element.text or ''}"
        element.text = None
        element.insert(0, mark)
    if address := element.get("id"):
        words = " ".join(element.text_content().split())
        etree.SubElement(element, "a", {"class": "anchor", "href": f"#{address}", "aria-label": f"Link to: {words}"})
