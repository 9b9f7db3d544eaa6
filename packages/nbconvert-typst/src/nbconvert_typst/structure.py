"""Headings and links of a whole document, resolved when all of its texts have been read."""

import re
import unicodedata
from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from urllib.parse import unquote

from lxml.html import HtmlElement

from nbconvert_typst.captions import Anchor

_HEADINGS = {f"h{level}": level for level in range(1, 7)}


@dataclass(frozen=True)
class Heading:
    """A heading of the document; `element` has its content without links."""

    level: int
    id: str
    number: str
    element: HtmlElement


def resolve(trees: Iterable[HtmlElement], captions: Mapping[str, Anchor], numbered: bool) -> list[Heading]:
    """Number the headings, make every anchor unique, and point each link into the document at its target.

    A heading gets the attributes `data-level`, without a skipped level, and `data-number` ("" where it has none). A
    link to a figure or table reads "Figure 3" where its text is "Figure"; one without a target becomes its text.
    """
    trees = list(trees)
    anchors = _Anchors(captions)
    headings = _Headings(numbered)
    for tree in trees:
        for element in tree.iterdescendants():
            if element.tag in _HEADINGS:
                anchors.set_heading(element)
                headings.add(element)
            elif element.get("id", "").startswith("mjx-eqn"):
                pass  # of a numbered equation, unique in the notebook
            elif isinstance(element.tag, str) and (element.get("id") or element.get("name")):
                anchors.set(element)
    for tree in trees:
        for link in list(tree.iterdescendants("a")):
            anchors.point(link)
    return headings.found


class _Anchors:
    """Targets of a document by name."""

    def __init__(self, captions: Mapping[str, Anchor]) -> None:
        self._by_name = {_key(name): anchor for name, anchor in captions.items()}
        self._taken = {"show-code"} | {anchor.id for anchor in captions.values()}  # the switch of the HTML page

    def set(self, element: HtmlElement) -> None:
        """Give an element with an id a unique one."""
        name = element.attrib.pop("id", None) or element.get("name")
        element.attrib.pop("name", None)
        if _key(name) not in self._by_name:
            element.set("id", self._register(name, name))

    def set_heading(self, element: HtmlElement) -> None:
        """Name a heading after its text, with hyphens for blanks, as JupyterLab does, and after its id."""
        text = "".join(element.itertext()).strip()
        own = element.attrib.pop("id", None)
        element.set("id", self._register(text.replace(" ", "-"), own or text))
        if own:
            self._by_name.setdefault(_key(own), Anchor(element.get("id"), ""))

    def _register(self, name: str, wanted: str) -> str:
        plain = unicodedata.normalize("NFKD", wanted.lower()).encode("ascii", "ignore").decode()
        base = re.sub(r"[^\w-]+", "-", plain).strip("-") or "section"
        copies = (base if n == 1 else f"{base}-{n}" for n in range(1, len(self._taken) + 3))
        anchor = next(copy for copy in copies if copy not in self._taken)
        self._taken.add(anchor)
        self._by_name.setdefault(_key(name), Anchor(anchor, ""))
        return anchor

    def point(self, link: HtmlElement) -> None:
        """Point a link at its target inside the document."""
        address = link.get("href", "")
        if not address.startswith("#"):
            if not address and "id" not in link.attrib:
                link.drop_tag()
            return
        target = self._by_name.get(_key(address[1:]))
        if target is None:
            del link.attrib["href"]
            if "id" not in link.attrib:
                link.drop_tag()
            return
        link.set("href", f"#{target.id}")
        if target.label and link.text_content().strip() in ("Figure", "Table"):
            link[:] = []
            link.text = target.label


def _key(name: str) -> str:
    return unquote(name).strip().lower().replace(" ", "-")


class _Headings:
    """Counts headings."""

    def __init__(self, numbered: bool) -> None:
        self.found: list[Heading] = []
        self._numbered = numbered
        self._counters: list[int] = []
        self._last = 0

    def add(self, element: HtmlElement) -> None:
        level = self._last = min(_HEADINGS[element.tag], self._last + 1)
        counted = self._numbered and "unnumbered" not in element.get("class", "").split()
        number = self._next(level) if counted else ""
        element.set("data-level", str(level))
        element.set("data-number", number)
        content = deepcopy(element)
        content.tail = None
        for inner in list(content.iterdescendants()):
            inner.attrib.pop("id", None)
            if inner.tag == "a":
                inner.drop_tag()
        self.found.append(Heading(level, element.get("id"), number, content))

    def _next(self, level: int) -> str:
        self._counters = (self._counters + [0] * level)[:level]
        self._counters[-1] += 1
        return ".".join(map(str, self._counters))
