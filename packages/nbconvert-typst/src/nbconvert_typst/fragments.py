"""Markdown, HTML and text of a notebook as trees that hold nothing but what both outputs show."""

import html
import re
from collections.abc import Mapping

import lxml.html
from lxml import etree
from lxml.html import HtmlElement

from nbconvert_typst import formulas, markdown
from nbconvert_typst.cleaning import clean, style_cells
from nbconvert_typst.identifiers import link_identifiers
from nbconvert_typst.reading import Reading

_NOT_TEXT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufffe\uffff\ud800-\udfff]")
_SVG_TAG = re.compile(r"<svg\b[^>]*?(/?)>|</svg\s*>", re.IGNORECASE)
_NO_MATH = {"pre", "code", "math"}
_NO_MATH_CLASSES = {"tex2jax_ignore", "mathjax_ignore"}
_SCRIPTED = re.compile(r"<(script|canvas|iframe)\b", re.IGNORECASE)
_CONTAINER = re.compile(r"<(div|canvas|iframe|figure|section)\b", re.IGNORECASE)
#: Text of a scripted output until its script has run.
_PLACEHOLDERS = ("Make this Notebook Trusted to load map", "Loading ITables", "Loading BokehJS")
_FEW = 40  # words; an output with more than these has its content already
_ANIMATION = re.compile(r"frames\[0\]\s*=\s*\"(data:image/[^\"]+)\"")
#: Words that stand in the output or the script of a library, and its name.
_LIBRARIES = {
    "plotly": "plotly",
    "bokeh": "bokeh",
    "vega": "vega",
    "altair": "altair",
    "leaflet": "leaflet",
    "load map": "folium",
    "itables": "itables",
    "highcharts": "highcharts",
    "cytoscape": "cytoscape",
    "mpl_figure": "matplotlib",
    "_anim_img": "matplotlib animation",
    "echarts": "echarts",
    "widget": "widget",
}


def from_markdown(source: str, reading: Reading, attachments: Mapping | None = None) -> HtmlElement:
    """Return the tree of a Markdown text."""
    text, lifted = formulas.lift(source)
    return _tree(markdown.to_html(text), reading, attachments or {}, lifted)


def from_html(source: str, reading: Reading) -> HtmlElement:
    """Return the tree of an HTML output, or a remark where only a script would show something."""
    if not _SCRIPTED.search(source):
        return _tree(source, reading, {}, [])
    if animation := _ANIMATION.search(source):
        still = html.escape(animation[1].replace("\\\n", ""))
        return _tree(f'<img src="{still}"><p class="note">[{interactive(source)}]</p>', reading, {}, [])
    tree = _tree(source, reading, {}, [])
    waits = any(words in source for words in _PLACEHOLDERS) and len(tree.text_content().split()) < _FEW
    if waits or (_CONTAINER.search(source) and not shows_something(tree)):
        return note(interactive(source))
    return tree


def from_text(source: str, reading: Reading) -> HtmlElement:
    """Return the tree of a text that has formulas and no other markup, as text/latex has."""
    text, lifted = formulas.lift(source.strip())
    paragraphs = (f"<p>{html.escape(each)}</p>" for each in re.split(r"\n\s*\n", text))
    return _tree("".join(paragraphs), reading, {}, lifted)


def note(text: str) -> HtmlElement:
    """Return a remark of the exporter, in brackets, in the place of what it cannot show."""
    tree = lxml.html.Element("div")
    etree.SubElement(tree, "p", {"class": "note"}).text = text if text.startswith("[") else f"[{text}]"
    return tree


def shows_something(tree: HtmlElement) -> bool:
    """Tell whether a tree has text, a picture, a formula or a rule."""
    return bool(tree.text_content().strip()) or any(True for _ in tree.iter("img", "math", "hr"))


def interactive(hint: str) -> str:
    """Return the remark on an interactive output; `hint` is its MIME type or its HTML."""
    library = next((name for word, name in _LIBRARIES.items() if word in hint.lower()), "")
    return f"interactive output{f' ({library})' if library else ''}: open the notebook to see it"


def _tree(source: str, reading: Reading, attachments: Mapping, lifted: list[str]) -> HtmlElement:
    text, svgs = _without_svgs(_NOT_TEXT.sub("", source))
    tree = _parsed(text)
    style_cells(tree)
    clean(tree, reading, attachments, svgs, lambda value: formulas.restore(value, lifted))
    _set_formulas(tree, reading, lifted)
    link_identifiers(tree)
    tree.set("data-place", reading.place)
    reading.trees.append(tree)
    return tree


def _without_svgs(source: str) -> tuple[str, list[str]]:
    """Put an <img> with its number in the place of each SVG, as HTML's parser would lose the case of its names."""
    parts: list[str] = []
    svgs: list[str] = []
    depth, start, done = 0, 0, 0
    for tag in _SVG_TAG.finditer(source):
        closes, alone = tag[0].startswith("</"), bool(tag[1])
        if depth == 0 and not closes:
            start = tag.start()
        ends = (depth == 1 and closes) or (depth == 0 and alone)
        depth = max(0, depth + (0 if alone else -1 if closes else 1))
        if ends:
            parts += [source[done:start], f'<img data-svg="{len(svgs)}">']
            svgs.append(source[start : tag.end()])
            done = tag.end()
    return "".join([*parts, source[done:]]), svgs


def _parsed(source: str) -> HtmlElement:
    parser = lxml.html.HTMLParser(huge_tree=True, encoding="utf-8")
    page = f"<html><body>{source}</body></html>"
    body = lxml.html.document_fromstring(page.encode(), parser=parser).find("body")
    if any("depth" in entry.message for entry in parser.error_log):  # the parser drops what lies deeper
        raise RecursionError("nested too deeply")
    tree = lxml.html.Element("div")
    if body is not None:
        tree.text = body.text
        tree.extend(list(body))
    return tree


def _takes_no_math(element: HtmlElement) -> bool:
    return any(
        each.tag in _NO_MATH or not _NO_MATH_CLASSES.isdisjoint(each.get("class", "").split())
        for each in (element, *element.iterancestors())
    )


def _set_formulas(tree: HtmlElement, reading: Reading, lifted: list[str]) -> None:
    """Put an empty <math> where a text has a formula; the reading remembers which."""
    for element in list(tree.iter(etree.Element)):
        if element.text:
            element.text = formulas.restore(element.text, lifted)
            if not _takes_no_math(element):
                _split(element, None, reading)
        if element.tail and element is not tree:
            element.tail = formulas.restore(element.tail, lifted)
            if not _takes_no_math(element.getparent()):
                _split(element.getparent(), element, reading)


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
