"""A cleaned tree as HTML."""

from collections.abc import Callable
from copy import deepcopy

import lxml.html
from lxml import etree
from lxml.html import HtmlElement

from nbconvert_typst.css import html_size
from nbconvert_typst.tables import tidy


def inner_html(element: HtmlElement, address: Callable[[str], str], shift: int = 0) -> str:
    """Return what stands inside a tree that was cleaned and resolved.

    address: gives the `src` of a picture by its name. shift: lowers the headings by so many levels.
    """
    tree = deepcopy(element)
    for table in list(tree.iter("table")):
        tidy(table)
        _in_scrolling_box(table)
    for picture in list(tree.iter("img")):
        _picture(picture, address)
    for heading in list(tree.iterdescendants(*(f"h{level}" for level in range(1, 7)))):
        _heading(heading, shift)
    parts = [_escaped(tree.text)]
    parts += [lxml.html.tostring(child, encoding="unicode") for child in tree]
    return "".join(parts).strip()


def _escaped(text: str | None) -> str:
    return (text or "").replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _in_scrolling_box(table: HtmlElement) -> None:
    box = etree.Element("div", {"class": "scroll", "tabindex": "0"})
    box.tail, table.tail = table.tail, None
    table.getparent().replace(table, box)
    box.append(table)


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
