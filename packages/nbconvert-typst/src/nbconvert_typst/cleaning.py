"""Cleaning of HTML: what would run, load or restyle the page goes, pictures come in, media become their address."""

import re
from collections.abc import Callable, Mapping

import tinycss2
from lxml.html import HtmlElement

from nbconvert_typst.css import background, css_size, declarations, is_hidden, rgba
from nbconvert_typst.reading import Reading

_ELEMENTS = """
a abbr address article aside b bdi bdo blockquote br caption center cite code col colgroup dd del details dfn div dl dt
em figcaption figure font footer h1 h2 h3 h4 h5 h6 header hr i img ins kbd li main mark nav ol p pre q s samp section
small span strike strong sub summary sup table tbody td tfoot th thead tr tt u ul var wbr
math semantics merror mfrac mi mmultiscripts mn mo mover mpadded mphantom mprescripts mroot mrow ms mspace msqrt mstyle
msub msubsup msup mtable mtd mtext mtr mlabeledtr munder munderover menclose maction
"""
#: Elements of the document; of any other one the content stays.
_KEPT = frozenset(_ELEMENTS.split())
#: Elements that show nothing here, with what stands inside them.
_DROPPED = {"script", "style", "template", "head", "meta", "link", "title", "base", "canvas", "noscript", "datalist",
            "source", "track", "param", "map", "button", "select", "annotation", "annotation-xml"}  # fmt: skip
_MEDIA = {"video", "audio", "iframe", "object", "embed"}
#: Elements without content, which the parser does not close.
_VOID = ("wbr", "source", "track", "embed", "param", "keygen", "bgsound")
#: What scikit-learn shows where its style sheet is missing, beside the same as a picture.
_FALLBACKS = {"sk-text-repr-fallback"}
_ATTRIBUTES = {"a": {"href", "name"}, "td": {"colspan", "rowspan", "align"}, "th": {"colspan", "rowspan", "align"},
               "ol": {"start", "type", "reversed"}, "li": {"value"}, "font": {"color"}, "p": {"align"},
               "div": {"align"}, "details": {"open"}, "abbr": {"title"}}  # fmt: skip
_GENERAL = {"id", "dir", "lang", "style"}
#: Presentation of formulas written as MathML.
_MATHML = {"display", "mathvariant", "mathcolor", "accent", "accentunder", "stretchy", "fence", "columnalign", "width",
           "linethickness", "displaystyle", "scriptlevel", "open", "close", "separators", "notation"}  # fmt: skip
_STYLES = {"text-align", "font-weight", "font-style", "text-decoration", "float", "width", "direction"}
_CLASSES = {"unnumbered", "small", "alert", "tex2jax_ignore", "mathjax_ignore"}
_SAFE_VALUE = re.compile(r"[\w\s.%-]*")
_SAFE_LINK = re.compile(r"(https?|mailto|ftp|tel):|[^:]*$|[^:]*[/?#]", re.IGNORECASE)
#: Browsers pass over some of these in an address.
_BLANK = re.compile(r"[\x00-\x20\x7f-\xa0\u200b-\u200f\u2028-\u202f\ufeff]")
_ONE_CELL = re.compile(r"#([\w-]+)")


def clean(
    tree: HtmlElement, reading: Reading, attachments: Mapping, svgs: list[str], text: Callable[[str], str]
) -> None:
    """Clean a tree in place.

    svgs: the SVG elements for which an <img> with their number stands. text: turns the value of an attribute into what
    its author wrote.
    """
    for element in list(tree.iter(*_VOID)):
        _close(element)
    for element in list(tree.iterdescendants()):
        if not any(above is tree for above in element.iterancestors()):
            continue  # inside of what was dropped
        if not isinstance(element.tag, str) or element.tag in _DROPPED or _is_hidden(element):
            element.drop_tree()
        elif element.tag in _MEDIA:
            _media(element)
        elif element.tag == "img":
            _picture(element, reading, attachments, svgs, text)
        elif element.tag == "input":
            _input(element)
        elif element.tag in ("progress", "meter"):
            _replace(element, f"{element.get('value', '')} / {element.get('max', '1')}", None)
        elif element.tag not in _KEPT:
            element.drop_tag()
        else:
            _attributes(element, text)


def _close(element: HtmlElement) -> None:
    """Move what the parser put into an element without content behind it."""
    parent, children = element.getparent(), list(element)
    place = parent.index(element) + 1
    last, tail = (children or [element])[-1], element.tail or ""
    element.text, element.tail = None, element.text
    for number, child in enumerate(children):
        parent.insert(place + number, child)
    last.tail = (last.tail or "") + tail


def _is_hidden(element: HtmlElement) -> bool:
    classes = element.get("class", "").split()
    return (
        "hidden" in element.attrib
        or is_hidden(declarations(element.get("style", "")))
        or not _FALLBACKS.isdisjoint(classes)
    )


def _attributes(element: HtmlElement, text: Callable[[str], str]) -> None:
    allowed = _GENERAL | _ATTRIBUTES.get(element.tag, set())
    if element.tag.startswith("m"):
        allowed = allowed | _MATHML
    classes = [name for name in element.get("class", "").split() if name in _CLASSES or name.startswith("language-")]
    for name in list(element.attrib):
        if name not in allowed:
            del element.attrib[name]
        else:
            element.set(name, text(element.get(name)))
    if "style" in element.attrib:
        _style(element)
    if not is_safe_link(element.get("href", "")):
        del element.attrib["href"]
    if classes:
        element.set("class", " ".join(classes))


def is_safe_link(address: str) -> bool:
    """Tell whether an address runs nothing when it is followed."""
    return bool(_SAFE_LINK.match(_BLANK.sub("", address)))


def _style(element: HtmlElement) -> None:
    asked = declarations(element.attrib.pop("style"))
    kept = {name: value for name, value in asked.items() if name in _STYLES and _SAFE_VALUE.fullmatch(value)}
    colors = {"color": rgba(asked.get("color")), "background-color": background(asked)}
    kept |= {name: value for name, value in colors.items() if value}
    if kept:
        element.set("style", "; ".join(f"{name}: {value}" for name, value in kept.items()))


def _picture(
    element: HtmlElement, reading: Reading, attachments: Mapping, svgs: list[str], text: Callable[[str], str]
) -> None:
    width, height = css_size(element.attrib)
    alt, source, number = text(element.get("alt", "")), text(element.get("src", "")), element.get("data-svg", "")
    if number.isdecimal() and int(number) < len(svgs):
        found = reading.attempt(svgs[int(number)].encode)
    else:
        found = reading.find(source, attachments)
    if isinstance(found, str):
        described = f"{found[:-1]}, {alt}]" if alt else found
        _replace(element, described, source if source.startswith(("http:", "https:")) else None)
        return
    element.attrib.clear()
    element.set("data-name", reading.keep(found))
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
    else:  # inside the notebook
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
                    if match := _ONE_CELL.fullmatch(selector.strip()):
                        rules[match[1]] = rules.get(match[1], "") + content + ";"
    for cell in tree.iter("td", "th") if rules else ():
        if (added := rules.get(cell.get("id", ""))) is not None:
            cell.set("style", f"{added}{cell.get('style', '')}")
