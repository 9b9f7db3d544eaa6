"""Names of publications in a text, "arXiv:1901.05555" or "doi:10.1000/182", as links."""

import re

import lxml.html
from lxml import etree
from lxml.html import HtmlElement

_NAME = re.compile(
    r"\b(?:arXiv[:\s]\s?(?P<arxiv>\d{4}\.\d{4,5}(?:v\d+)?|[a-z-]+(?:\.[A-Z]{2})?/\d{7})|doi:\s?(?P<doi>10\.\d{4,9}/[^\s\"<>]*[\w/]))",
    re.IGNORECASE,
)
_AS_IT_IS = {"a", "pre", "code", "math", "kbd", "samp"}


def link_identifiers(tree: HtmlElement) -> None:
    """Link the identifiers in the text of a tree, in place, outside of links and code."""
    for element in list(tree.iter(etree.Element)):
        if not any(above.tag in _AS_IT_IS for above in element.iterancestors()):
            if element.tag not in _AS_IT_IS:
                _link(element, None)
            if element is not tree:
                _link(element.getparent(), element)


def _link(parent: HtmlElement, before: HtmlElement | None) -> None:
    """Link the identifiers in the text that follows `before` in `parent` (None: its first text)."""
    text = (parent.text if before is None else before.tail) or ""
    index, done = 0 if before is None else parent.index(before) + 1, 0
    for found in _NAME.finditer(text):
        if before is None:
            parent.text = text[: found.start()]
        else:
            before.tail = text[done : found.start()]
        target = f"https://arxiv.org/abs/{found['arxiv']}" if found["arxiv"] else f"https://doi.org/{found['doi']}"
        before = lxml.html.Element("a", href=target)
        before.text, done = found[0], found.end()
        parent.insert(index, before)
        index += 1
    if done:
        before.tail = text[done:]
