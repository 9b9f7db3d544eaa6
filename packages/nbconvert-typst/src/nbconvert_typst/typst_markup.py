"""A cleaned tree as Typst: every text is markup and every call is one of Typst or style.typ, so that it compiles."""

import re
import unicodedata
from collections.abc import Iterable, Iterator

from lxml.html import HtmlElement

from nbconvert_typst.css import background, declarations, is_bold
from nbconvert_typst.tables import Cell, asked_align, table_of
from nbconvert_typst.typst_text import LONG, code_text, color, length, literal, markup, wrapped

_LONGEST_ADDRESS = 4000  # characters; Typst refuses links of more than 8000
_WRAPPERS = {"em": "emph", "i": "emph", "var": "emph", "cite": "emph", "dfn": "emph", "address": "emph",
             "b": "strong", "strong": "strong", "del": "strike", "s": "strike", "strike": "strike", "u": "underline",
             "ins": "underline", "sub": "sub", "sup": "super", "mark": "highlight", "small": "small",
             "center": "align(center)", "summary": "strong"}  # fmt: skip
_CODE = {"code", "kbd", "samp", "tt"}
_BLOCKS = {"p", "div", "section", "article", "header", "footer", "main", "nav", "aside", "figure", "figcaption",
           "center", "address", "form", "fieldset", "legend", "details", "summary", "caption"}  # fmt: skip


def inner_typst(tree: HtmlElement) -> str:
    """Return what stands inside a tree that was cleaned and resolved, as Typst markup.

    Each <math> has its own in the attribute `data-typst`.
    """
    return _content(tree).strip()


def picture(name: str, alt: str, width: str | None, height: str | None, pixels: int | None = None) -> str:
    """Return the call of `picture` in style.typ; a picture without a size has that of its pixels."""
    if width is None and height is None and pixels:
        width = f"{pixels}px"
    return f"#picture({literal(name)}, width: {length(width)}, height: {length(height)}, alt: {literal(alt)})"


def runs(element: HtmlElement) -> str:
    """Return the text of a <pre> as arguments of `styled-raw`, a dictionary for each run of one style."""
    found: list[tuple[str, dict[str, str]]] = []

    def walk(node: HtmlElement, options: dict[str, str]) -> None:
        options = options | _run_options(node)
        found.append((node.text or "", options))
        for child in node:
            if child.tag == "br":
                found.append(("\n", {}))
            else:
                walk(child, options)
            found.append((child.tail or "", options))

    walk(element, {})
    written = ({"source": literal(wrapped(text))} | options for text, options in found if text)
    return "".join(f"({', '.join(f'{name}: {value}' for name, value in run.items())}), " for run in written)


def _run_options(node: HtmlElement) -> dict[str, str]:
    style = declarations(node.get("style", ""))
    address = node.get("href", "")
    options = {
        "fill": color(style.get("color")),
        "back": color(background(style)),
        "bold": "true" if node.tag in ("b", "strong") or is_bold(style) else None,
        "italic": "true" if node.tag in ("i", "em") or style.get("font-style") == "italic" else None,
        "underlined": "true" if node.tag == "u" or "underline" in style.get("text-decoration", "") else None,
        "address": literal(address) if 0 < len(address) < _LONGEST_ADDRESS else None,
    }
    return {name: value for name, value in options.items() if value}


def _content(element: HtmlElement) -> str:
    """Return the text and the children of an element."""
    return "".join(_pieces(element))


def _pieces(element: HtmlElement) -> Iterator[str]:
    yield markup(element.text)
    for child in element:
        if isinstance(child.tag, str):
            yield _element(child)
        yield markup(child.tail)


def _element(element: HtmlElement) -> str:
    tag = element.tag
    if tag in _WRITERS:
        return _WRITERS[tag](element)
    if tag in _CODE:
        text = element.text_content()
        return f"#{'long-raw' if LONG.search(text) else 'raw'}({literal(text)})"
    content = _content(element)
    if tag in _WRAPPERS:
        content = f"#{_WRAPPERS[tag]}[{content}]"
    content = _label(element) + _styled(element, content)
    return f"\n\n{content}\n\n" if tag in _BLOCKS else content


def _styled(element: HtmlElement, content: str) -> str:
    style = declarations(element.get("style", ""))
    block = element.tag in _BLOCKS
    if fill := color(style.get("color") or element.get("color")):
        content = f"#text(fill: {fill})[{content}]"
    if fill := color(background(style)):
        content = f"#{'block(inset: 4pt, ' if block else 'highlight('}fill: {fill})[{content}]"
    decoration = style.get("text-decoration", "")
    asked = {
        "strong": is_bold(style),
        "emph": style.get("font-style") == "italic",
        "underline": "underline" in decoration,
        "strike": "line-through" in decoration,
        **dict.fromkeys({"small", "note", "alert"}.intersection(element.get("class", "").split()), True),
    }
    for call in (call for call, wanted in asked.items() if wanted):
        content = f"#{call}[{content}]"
    if block and (align := asked_align(element)) and align != "left":
        content = f"#align({align})[{content}]"
    return _directed(element, content) if block else content


def _directed(element: HtmlElement, content: str) -> str:
    """Return a block set from the right where it says so, or where its first letter belongs to such a script."""
    return f"#right-to-left[{content}]" if _is_right_to_left(element) else content


def _is_right_to_left(element: HtmlElement) -> bool:
    said = element.get("dir") or declarations(element.get("style", "")).get("direction")
    if said in ("rtl", "ltr"):
        return said == "rtl"
    if element.tag in ("div", "section", "article", "main"):
        return False
    classes = (unicodedata.bidirectional(char) for char in element.text_content())
    return next((each for each in classes if each in ("L", "R", "AL")), "L") != "L"


def _label(element: HtmlElement) -> str:
    return f"#anchor({literal(element.get('id'))})" if element.get("id") else ""


def _link(element: HtmlElement) -> str:
    content, address = _content(element), element.get("href")
    if not address or len(address) > _LONGEST_ADDRESS:
        return _label(element) + content
    call = "go" if address.startswith("#") else "link"
    return f"{_label(element)}#{call}({literal(address.removeprefix('#'))})[{content}]"


def _heading(element: HtmlElement) -> str:
    numbering = "" if element.get("data-number") else ", numbering: none"
    content = re.sub(r"\s*\n\s*", " ", _content(element)).strip()
    heading = f"#heading(level: {element.get('data-level')}{numbering})[{content}]#label({literal(element.get('id'))})"
    return f"\n\n{_directed(element, heading)}\n\n"


def _list(element: HtmlElement) -> str:
    items = [child for child in element if isinstance(child.tag, str)]
    tight = not any(item.find("p") is not None for item in items)
    start = element.get("start", "1")
    options = [f"tight: {str(tight).lower()}"]
    call = "enum" if element.tag == "ol" else "list"
    if element.tag == "ol":
        options.append(f"start: {int(start) if start.isdecimal() else 1}")
        if element.get("type") in ("a", "A", "i", "I"):
            options.append(f'numbering: "{element.get("type")}."')
        if "reversed" in element.attrib:
            options.append("reversed: true")
    arguments = [*options, *(_item(item, call) for item in items)]
    written = f"#{call}({', '.join(arguments)})"
    return f"\n\n{_directed(element, written)}\n\n"


def _item(element: HtmlElement, call: str) -> str:
    content = f"[{_label(element)}{_content(element).strip()}]"
    number = element.get("value", "")
    return f"enum.item({number}, {content})" if call == "enum" and number.isdecimal() else content


def _terms(element: HtmlElement) -> str:
    parts = [
        f"#strong[{_content(child)}]" if child.tag == "dt" else f"#pad(left: 1.5em)[{_content(child)}]"
        for child in element.iterdescendants("dt", "dd")
    ]
    return "\n\n" + "\n\n".join(parts) + "\n\n"


def _code_block(element: HtmlElement) -> str:
    code = element.find("code")
    named = code.get("class", "") if code is not None else ""
    language = next((name[9:] for name in named.split() if name.startswith("language-")), "")
    if not language and element.find(".//span") is not None:
        return f"\n\n#styled-raw({runs(element)})\n\n"
    text = element.text_content().removesuffix("\n")
    return f"\n\n#code-block({literal(code_text(text))}, {literal(language)})\n\n"


def _image(element: HtmlElement) -> str:
    pixels = element.get("data-pixels")
    call = picture(
        element.get("data-name"), element.get("alt", ""), element.get("data-width"), element.get("data-height"),
        int(pixels) if pixels else None,
    )  # fmt: skip
    alone = not any(text.strip() for text in (element.getparent().text_content(), element.tail or ""))
    return f"{_label(element)}{call}" if alone and len(element.getparent()) == 1 else f"{_label(element)}#box[{call}]"


def _math(element: HtmlElement) -> str:
    return f"{_label(element)}{element.get('data-typst')}"


def _table(element: HtmlElement) -> str:
    table = table_of(element)
    if not table.cells:
        return ""
    samples: list[list[tuple[int, int]]] = [[] for _ in range(table.columns)]
    for index, cell in enumerate(table.cells):
        if cell.colspan == 1:
            samples[cell.x].append((-len(cell.text), index))
    chosen = [[index for _, index in sorted(column)[:4]] for column in samples]
    caption = f"#block(sticky: true)[{_content(table.caption)}]\n" if table.caption is not None else ""
    return (
        f"\n\n{_label(element)}{caption}#data-table(aligns: {_array(table.aligns)}, "
        f"long: {_array(map(str, table.long))}, leading: {table.leading}, header-rows: {table.header_rows}, "
        f"samples: {_array(_array(map(str, each)) for each in chosen)}, cells: (\n"
        + "".join(f"{_cell(cell, table.header_rows)},\n" for cell in table.cells)
        + "))\n\n"
    )


def _cell(cell: Cell, header_rows: int) -> str:
    """Return a cell as style.typ takes it: (x, y, columns, rows, alignment, fill, content)."""
    style = declarations(cell.element.get("style", ""))
    align = asked_align(cell.element)
    if cell.colspan > 1 and cell.y < header_rows:
        align = "center"
    content = _content(cell.element).strip()
    if fill := color(style.get("color")):
        content = f"#text(fill: {fill})[{content}]"
    if is_bold(style):
        content = f"#strong[{content}]"
    fill = color(background(style)) or "none"
    return f"({cell.x}, {cell.y}, {cell.colspan}, {cell.rowspan}, {align or 'none'}, {fill}, [{content}])"


def _array(items: Iterable[str]) -> str:
    return "(" + "".join(f"{item}, " for item in items) + ")"


_WRITERS = {
    "a": _link, "img": _image, "math": _math, "table": _table, "pre": _code_block, "ul": _list, "ol": _list,
    "dl": _terms, "br": lambda _: "#linebreak()", "hr": lambda _: "\n\n#rule\n\n", "wbr": lambda _: "#box()",
    "q": lambda element: f"“{_content(element)}”",
    "blockquote": lambda element: f"\n\n#quote(block: true)[{_content(element).strip()}]\n\n",
    **{f"h{level}": _heading for level in range(1, 7)},
}  # fmt: skip
