"""Markdown, HTML and text of a notebook as trees that hold nothing but what both outputs show."""

import html
import re
from collections.abc import Mapping

import lxml.html
from lxml import etree
from lxml.html import HtmlElement

from nbconvert_typst import formulas, markdown
from nbconvert_typst.cleaning import clean, style_cells
from nbconvert_typst.reading import Reading

_SVG = re.compile(r"<svg\b[^>]*/>|<svg\b.*?</svg\s*>", re.DOTALL | re.IGNORECASE)
_NOT_TEXT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufffe\uffff\ud800-\udfff]")
_NO_MATH = {"pre", "code", "textarea", "annotation", "annotation-xml", "math"}
_SCRIPTED = re.compile(r"<(script|canvas|iframe)\b", re.IGNORECASE)
#: Words by which an output or its script gives its library away, and the library's name.
_LIBRARIES = {
    "plotly": "plotly",
    "bokeh": "bokeh",
    "vega": "vega",
    "altair": "altair",
    "leaflet": "leaflet",
    "mpl_figure": "matplotlib",
    "echarts": "echarts",
    "widget": "widget",
    "javascript": "JavaScript",
}
_SVG_SPACE = "http://www.w3.org/2000/svg"


def from_markdown(source: str, reading: Reading, attachments: Mapping | None = None) -> HtmlElement:
    """Return the tree of a Markdown text."""
    text, lifted = formulas.lift(source)
    return _tree(markdown.to_html(text), reading, attachments or {}, lifted)


def from_html(source: str, reading: Reading) -> HtmlElement:
    """Return the tree of an HTML output, or a remark where only a script would show something."""
    tree = _tree(source, reading, {}, [])
    if _SCRIPTED.search(source) and not tree.text_content().strip() and tree.find(".//img") is None:
        return note(interactive(source))
    return tree


def from_text(source: str, reading: Reading) -> HtmlElement:
    """Return the tree of a text that has formulas and no other markup, as text/latex has."""
    paragraphs = (f"<p>{html.escape(each)}</p>" for each in re.split(r"\n\s*\n", source.strip()))
    return _tree("".join(paragraphs), reading, {}, [])


def note(text: str) -> HtmlElement:
    """Return a remark of the exporter, in brackets, in the place of what it cannot show."""
    tree = lxml.html.Element("div")
    etree.SubElement(tree, "p", {"class": "note"}).text = text if text.startswith("[") else f"[{text}]"
    return tree


def interactive(hint: str) -> str:
    """Return the remark on an interactive output; `hint` is its MIME type or its HTML."""
    library = next((name for word, name in _LIBRARIES.items() if word in hint.lower()), "")
    return f"interactive output{f' ({library})' if library else ''}: open the notebook to see it"


def _tree(source: str, reading: Reading, attachments: Mapping, lifted: list[str]) -> HtmlElement:
    tree = _parsed(_NOT_TEXT.sub("", source), reading)
    style_cells(tree)
    clean(tree, reading, attachments, lambda text: formulas.restore(text, lifted))
    _set_formulas(tree, reading, lifted)
    tree.set("data-place", reading.place)
    reading.trees.append(tree)
    return tree


def _parsed(source: str, reading: Reading) -> HtmlElement:
    """Parse HTML. An SVG in it becomes a picture before, as the case of its names would be lost."""

    def picture(match: re.Match) -> str:
        svg = match[0] if "xmlns=" in match[0][:2000] else match[0].replace("<svg", f'<svg xmlns="{_SVG_SPACE}"', 1)
        found = reading.attempt(svg.encode)
        return html.escape(found) if isinstance(found, str) else f'<img data-name="{reading.keep(found)}">'

    parser = lxml.html.HTMLParser(huge_tree=True, encoding="utf-8")
    page = f"<html><body>{_SVG.sub(picture, source)}</body></html>"
    body = lxml.html.document_fromstring(page.encode(), parser=parser).find("body")
    if any("depth" in entry.message for entry in parser.error_log):  # the parser drops what lies deeper
        raise RecursionError("nested too deeply")
    tree = lxml.html.Element("div")
    if body is not None:
        tree.text = body.text
        tree.extend(list(body))
    return tree


def _set_formulas(tree: HtmlElement, reading: Reading, lifted: list[str]) -> None:
    """Put an empty <math> where a text has a formula; the reading remembers which."""
    for element in list(tree.iter(etree.Element)):
        inside = element.tag in _NO_MATH or any(above.tag in _NO_MATH for above in element.iterancestors())
        if element.text:
            element.text = formulas.restore(element.text, lifted)
            if not inside:
                _split(element, None, reading)
        if element.tail and element is not tree:
            element.tail = formulas.restore(element.tail, lifted)
            above = element.getparent()
            if above.tag not in _NO_MATH and not any(each.tag in _NO_MATH for each in above.iterancestors()):
                _split(above, element, reading)


def _split(parent: HtmlElement, before: HtmlElement | None, reading: Reading) -> None:
    """Split the text that follows `before` in `parent` (None: its first text) at its formulas."""
    text = (parent.text if before is None else before.tail) or ""
    pieces = formulas.split(text)
    if pieces == [text]:
        return
    index = 0 if before is None else parent.index(before) + 1
    last = before
    if before is None:
        parent.text = ""
    else:
        before.tail = ""
    for piece in pieces:
        if isinstance(piece, str):
            if last is None:
                parent.text += piece
            else:
                last.tail = (last.tail or "") + piece
            continue
        last = lxml.html.Element("math")
        parent.insert(index, last)
        index += 1
        reading.formulas.append((last, piece, reading.place))
