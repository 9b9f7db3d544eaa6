"""Cleaning of HTML: what would run, load or restyle the page goes, pictures come in, media become their address."""

import re
from collections.abc import Callable, Mapping

import tinycss2
from lxml.html import HtmlElement

from nbconvert_typst.pictures import css_size, declarations
from nbconvert_typst.reading import Reading

#: Elements that show nothing here, with what stands inside them.
_DROPPED = {"script", "style", "template", "head", "meta", "link", "title", "base", "canvas", "noscript", "datalist",
            "source", "track", "param", "map"}  # fmt: skip
_MEDIA = {"video", "audio", "iframe", "object", "embed"}
_ATTRIBUTES = {"a": {"href", "name"}, "td": {"colspan", "rowspan", "align"}, "th": {"colspan", "rowspan", "align"},
               "ol": {"start", "type", "reversed"}, "li": {"value"}, "img": {"alt", "data-name"},
               "font": {"color"}, "p": {"align"}, "div": {"align"}, "details": {"open"}, "abbr": {"title"},
               "code": {"class"}}  # fmt: skip
_GENERAL = {"id", "dir", "lang", "style"}
#: Presentation of formulas written as MathML.
_MATHML = {"display", "mathvariant", "mathcolor", "accent", "accentunder", "stretchy", "fence", "columnalign", "width",
           "linethickness", "displaystyle", "scriptlevel", "open", "close", "separators", "notation"}  # fmt: skip
_STYLES = {"color", "background-color", "text-align", "font-weight", "font-style", "text-decoration", "float", "width"}
_CLASSES = {"unnumbered", "small", "alert"}
_SAFE_VALUE = re.compile(r"[#\w\s.,%()+-]*")
_SAFE_LINK = re.compile(r"(https?|mailto|ftp|tel):|[^:]*$|[^:]*[/?#]", re.IGNORECASE)
_BLANK = re.compile(r"[\x00-\x20\x7f-\xa0\u200b-\u200f\u2028-\u202f\ufeff]")  # browsers pass over some of these
_CELL = re.compile(r"#([\w-]+)")


def clean(tree: HtmlElement, reading: Reading, attachments: Mapping, text: Callable[[str], str]) -> None:
    """Clean a tree in place; `text` turns an attribute's value into what its author wrote."""
    for element in list(tree.iterdescendants()):
        if not _inside(element, tree):
            continue
        if not isinstance(element.tag, str) or element.tag in _DROPPED:
            element.drop_tree()
        elif element.tag in _MEDIA:
            _media(element)
        elif element.tag == "img":
            _picture(element, reading, attachments, text)
        elif element.tag == "input":
            _input(element)
        else:
            _attributes(element, text)


def _inside(element: HtmlElement, tree: HtmlElement) -> bool:
    return any(above is tree for above in element.iterancestors())


def _attributes(element: HtmlElement, text: Callable[[str], str]) -> None:
    allowed = _GENERAL | _ATTRIBUTES.get(element.tag, set())
    if element.tag.startswith("m"):
        allowed = allowed | _MATHML
    classes = element.get("class", "").split()
    for name in list(element.attrib):
        if name not in allowed:
            del element.attrib[name]
        else:
            element.set(name, text(element.get(name)))
    if "style" in element.attrib:
        _style(element)
    if not _SAFE_LINK.match(_BLANK.sub("", element.get("href", ""))):
        del element.attrib["href"]
    if kept := [name for name in classes if name in _CLASSES or name.startswith("language-")]:
        element.set("class", " ".join(kept))
    else:
        element.attrib.pop("class", None)


def _style(element: HtmlElement) -> None:
    kept = {name: value for name, value in declarations(element.get("style")).items()
            if name in _STYLES and _SAFE_VALUE.fullmatch(value)}  # fmt: skip
    if kept:
        element.set("style", "; ".join(f"{name}: {value}" for name, value in kept.items()))
    else:
        del element.attrib["style"]


def _picture(element: HtmlElement, reading: Reading, attachments: Mapping, text: Callable[[str], str]) -> None:
    name = element.get("data-name")
    width, height = css_size(element.attrib)
    alt = text(element.get("alt", ""))
    if name not in reading.pictures:
        source = text(element.get("src", ""))
        found = reading.find(source, attachments)
        if isinstance(found, str):
            described = f"{found[:-1]}, {alt}]" if alt else found
            _replace(element, described, source if source.startswith(("http:", "https:")) else None)
            return
        name = reading.keep(found)
    element.attrib.clear()
    element.set("data-name", name)
    element.set("alt", alt)
    for key, value in (("data-width", width), ("data-height", height)):
        if value:
            element.set(key, value)


def _media(element: HtmlElement) -> None:
    """Put the address of a video, a sound or a page within the page in its place."""
    inner = element.find("source")
    address = element.get("src") or element.get("data") or (inner.get("src") if inner is not None else "") or ""
    what = {"iframe": "page", "object": "media", "embed": "media"}.get(element.tag, element.tag)
    if address.startswith("//"):
        address = f"https:{address}"
    outside = address.startswith(("http:", "https:"))
    if outside or (address and ":" not in address):
        _replace(element, f"[{what}: {address}]", address)
    else:  # inside the notebook, as the maps of folium are
        _replace(element, f"[{what}: open the notebook to see it]", None)


def _input(element: HtmlElement) -> None:
    if element.get("type") == "checkbox":
        _replace(element, "☑" if "checked" in element.attrib else "☐", None)
    else:
        element.drop_tree()


def _replace(element: HtmlElement, text: str, address: str | None) -> None:
    """Put a text in the place of an element, linked where there is an address."""
    tail = element.tail
    for child in list(element):
        element.remove(child)
    element.attrib.clear()
    element.tag, element.text, element.tail = "span", text, tail
    if address:
        element.tag = "a"
        element.set("href", address)


def style_cells(tree: HtmlElement) -> None:
    """Write the rules of <style> elements that name single cells, as those of pandas' Styler, to the cells."""
    rules: dict[str, str] = {}
    for sheet in tree.iter("style"):
        for rule in tinycss2.parse_stylesheet(sheet.text or "", skip_comments=True, skip_whitespace=True):
            if rule.type == "qualified-rule":
                content = tinycss2.serialize(rule.content).strip()
                for selector in tinycss2.serialize(rule.prelude).split(","):
                    if match := _CELL.fullmatch(selector.strip()):
                        rules[match[1]] = rules.get(match[1], "") + content + ";"
    for cell in tree.iter("td", "th") if rules else ():
        if (added := rules.get(cell.get("id", ""))) is not None:
            cell.set("style", f"{added}{cell.get('style', '')}")
