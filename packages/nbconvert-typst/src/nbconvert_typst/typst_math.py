"""MathJax's MathML as Typst.

What is written is valid Typst whatever the formula: characters are escaped rather than named, text is a string
literal, and only functions that every formula test compiles are called.
"""

import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Any
from urllib.parse import unquote

from nbconvert_typst import typst_symbols as symbols
from nbconvert_typst import typst_tables as tables
from nbconvert_typst.typst_code import (
    DISPLAY,
    EMPTY,
    SCRIPT,
    SIZE_FUNCTIONS,
    SSCRIPT,
    TEXT,
    Style,
    core,
    ems,
    join,
    raw,
    space,
    symbol,
    tag_of,
)
from nbconvert_typst.typst_text import color, literal
from nbconvert_typst.typst_tokens import delimiter, is_fence, operator, text_of, token

#: Typst gives up at some 60 nested show rules, of which a box, a link or a colour is one.
_MAX_DEPTH = 80

_LINK = re.compile(r"(?:https?|mailto):", re.IGNORECASE)


class TooDeepError(Exception):
    """A formula is nested deeper than Typst can lay out."""


def typst_math(math: Any, anchors: dict[str, str] | None = None) -> str:
    """Return a <math> of `formulas.Typeset` as Typst markup.

    anchors: the labels of numbered equations, from `anchors_of`; references link to them.
    """
    display = math.get("display") == "block"
    try:
        return _Writer(anchors or {}).formula(math, display)
    except (TooDeepError, RecursionError):
        return raw(math.get("alttext", ""), display)


def anchors_of(formulas: Iterable[Any]) -> dict[str, str]:
    """Return the ids of the equations that have a number, each with a label for Typst."""
    ids = (cell.get("id") for math in formulas for cell in math.iterfind(".//{*}mlabeledtr/{*}mtd[@id]"))
    return {name: f"nbconvert-typst {name}" for name in ids}


class _Writer:
    def __init__(self, anchors: dict[str, str]) -> None:
        self._anchors = anchors
        self._depth = 0
        self._overlapping = False

    def formula(self, math: Any, display: bool) -> str:
        """Return a whole formula as markup."""
        error = math.find(".//{*}merror")
        if error is not None:
            return raw("".join(error.itertext()), display)
        style = Style(display, 0, DISPLAY if display else TEXT)
        table = core(math[0]) if display and len(math) == 1 else None
        if tag_of(table) == "mtable" and (code := tables.display(self, table, style)):
            return code
        body = self.row(math, style)
        return f"$ {body} $" if display else f"${body or EMPTY}$"

    def anchor(self, name: str | None) -> str:
        """Return the label of a numbered equation as markup, nothing where none was asked for."""
        return f"#metadata(none)#label({literal(self._anchors[name])})" if name in self._anchors else ""

    def write(self, node: Any, style: Style) -> str:
        """Return an element's code, for a place where Typst takes the size `style.here`."""
        tag = tag_of(node)
        if not tag:
            return ""
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise TooDeepError
        outside = style
        if tag in ("mstyle", "mtable"):
            style = _set(node, style)
        # A colour, a size or a link is content of its own, which is a formula again.
        wrappers = list(self._wrappers(node))
        if style.size != style.here:
            style = replace(style, here=style.size)
        code = token(node)
        if code is None:
            code = getattr(self, f"_{tag}", self.row)(node, style)
        self._depth -= 1
        if style.here != outside.here and code:
            code = f"{SIZE_FUNCTIONS[style.here]}({code})"
        for wrapper in wrappers:
            code = wrapper.replace("$$", f"${code or EMPTY}$")
        return code

    def row(self, node: Any, style: Style) -> str:
        """Return the children of an element, one after the other."""
        return join(self.write(child, style) for child in node)

    def _wrappers(self, node: Any) -> Iterable[str]:
        if tag_of(node) != "mspace" and (background := color(node.get("mathbackground"))):
            yield f"#box(fill: {background}, outset: (y: 0.2em), {{ set par(leading: 0pt); $$ }})"
        if colour := color(node.get("mathcolor")):
            yield f"#text(fill: {colour}, $$)"
        if (size := ems(node.get("mathsize"))) and size > 0:
            yield f"#text(size: {size:g}em, $$)"
        href = node.get("href") or ""
        if _LINK.match(href):
            yield f"#link({literal(href)}, $$)"
        elif href.startswith("#") and (name := unquote(href[1:])) in self._anchors:
            targets = f"query(label({literal(self._anchors[name])}))"
            yield (
                f"#context {{ let it = $$; let targets = {targets}; "
                "if targets.len() > 0 { link(targets.first().location(), it) } else { it } }"
            )

    # Groups

    def _mrow(self, node: Any, style: Style) -> str:
        children = list(node)
        kind = node.get("data-mjx-texclass", "")
        if kind == "INNER" and len(children) >= 2 and all(map(is_fence, (children[0], children[-1]))):
            return self._fenced(children, style)
        if kind in ("OPEN", "CLOSE") and not children:
            return ""  # beside a \middle
        if kind in symbols.CLASSES and [tag_of(child) for child in node] == ["mo"] and not [*self._wrappers(node[0])]:
            return operator(node[0], symbols.CLASSES[kind])
        code = self.row(node, style)
        if not code or kind not in symbols.CLASSES:
            return code
        if kind == "OP":
            inner = core(node)
            is_operator = inner.get("data-class") == "OP" or tag_of(inner) in ("mover", "munder", "munderover")
            return code if is_operator else f"op({code})"
        if kind in ("ORD", "INNER"):
            edges = {children[0].get("data-class", "ORD"), children[-1].get("data-class", "ORD")}
            return code if edges <= {"ORD", "OP", "OPEN", "CLOSE"} else f'class("normal", {code})'
        return f'class("{symbols.CLASSES[kind]}", {code})'

    def _fenced(self, children: list[Any], style: Style) -> str:
        parts = [delimiter(children[0], "opening")]
        for child in children[1:-1]:
            middle = is_fence(child) and text_of(child) and not child.get("minsize")
            parts.append(f'class("normal", mid({symbol(text_of(child))}))' if middle else self.write(child, style))
        return f"lr({join([*parts, delimiter(children[-1], 'closing')])})"

    def _maction(self, node: Any, style: Style) -> str:
        return self.write(node[0], style) if len(node) else ""

    _semantics = _maction

    def _mphantom(self, node: Any, style: Style) -> str:
        return f"#hide(${self.row(node, style) or EMPTY}$)"

    def _mpadded(self, node: Any, style: Style) -> str:
        width = node.get("width", "")
        rise = ems(node.get("voffset"))
        if rise and "+" in node.get("height", "")[:1] + node.get("depth", "")[:1]:  # \raise and \lower
            return f"#box(baseline: {-rise:g}em, ${self._boxed(node, style)}$)"
        overlapping = ems(width) == 0 and width[:1] != "+" and not self._overlapping  # \rlap, \llap, \clap
        self._overlapping |= overlapping  # measured once, not once for each of those around it
        body = self.row(node, style)
        if not body:
            body = space(ems(width)) if ems(width) else ""
        elif overlapping:
            moved = {"-1width": "h(-width); it", "-.5width": "h(-width / 2); it; h(-width / 2)"}
            shown = moved.get(node.get("lspace", ""), "it; h(-width)")
            it = f"${SIZE_FUNCTIONS[style.here]}({body})$"
            body = f"#context {{ let it = {it}; let width = measure(it).width; {shown} }}"
        self._overlapping &= not overlapping
        return body

    def _boxed(self, node: Any, style: Style) -> str:
        """Return the children for a formula inside a box."""
        inner = style.boxed()
        code = self.row(node, inner) or EMPTY
        return f"{SIZE_FUNCTIONS[inner.size]}({code})" if inner.size != inner.here else code

    def _menclose(self, node: Any, style: Style) -> str:
        notations = node.get("notation", "").split()
        if code := symbols.struck(notations, lambda: self.row(node, style) or EMPTY):
            return code
        stroke = symbols.stroke(notations, padded=node.get("data-padding") != "0")
        # With leading, Typst would take a part of a high formula for the gap between lines.
        return f"#box({stroke}, {{ set par(leading: 0pt); ${self._boxed(node, style)}$ }})"

    def _mfrac(self, node: Any, style: Style) -> str:
        here = min(style.here + 1, SSCRIPT)
        inner = style.smaller(0 if style.display else 1, here)
        top, bottom = (self.write(child, inner) or EMPTY for child in node)
        if ems(node.get("linethickness")) == 0:
            return f"mat(delim: #none, row-gap: #0.3em, {top} ; {bottom})"
        skewed = ', style: "skewed"' if node.get("bevelled") == "true" else ""
        return f"frac({top}, {bottom}{skewed})"

    def _msqrt(self, node: Any, style: Style) -> str:
        return f"sqrt({self.row(node, style) or EMPTY})"

    def _mroot(self, node: Any, style: Style) -> str:
        base, index = node
        return f"root({self.write(index, style.smaller(2, SSCRIPT)) or EMPTY}, {self.write(base, style) or EMPTY})"

    # Scripts

    def _attached(self, base: str, places: dict[str, Any], style: Style) -> str:
        inner = style.smaller(1, SCRIPT if style.here < SCRIPT else SSCRIPT)
        written = {place: join(self.write(node, inner) for node in nodes) for place, nodes in places.items()}
        scripts = "".join(f", {place}: {code}" for place, code in written.items() if code)
        return f"attach({base or EMPTY}{scripts})"

    def _msub(self, node: Any, style: Style) -> str:
        return self._scripts(node, style, "br")

    def _msup(self, node: Any, style: Style) -> str:
        return self._scripts(node, style, "tr")

    def _msubsup(self, node: Any, style: Style) -> str:
        return self._scripts(node, style, "br", "tr")

    def _scripts(self, node: Any, style: Style, *places: str) -> str:
        scripts = {place: [child] for place, child in zip(places, node[1:], strict=False)}
        return self._attached(self.write(node[0], style), scripts, style)

    def _munder(self, node: Any, style: Style) -> str:
        return self._limits(node, style, "b")

    def _mover(self, node: Any, style: Style) -> str:
        return self._limits(node, style, "t")

    def _munderover(self, node: Any, style: Style) -> str:
        return self._limits(node, style, "b", "t")

    def _limits(self, node: Any, style: Style, *places: str) -> str:
        base = core(node[0])
        if base.get("data-movablelimits") and not style.display:
            return self._scripts(node, style, *(f"{place}r" for place in places))
        if len(places) == 1 and (accented := self._accented(node, style, places[0])):
            return accented
        code = self.write(node[0], style) or EMPTY
        if base.get("data-stretchy") and tag_of(base) == "mo" and len(text_of(base)) == 1:
            code = f'class("relation", stretch({symbol(text_of(base))}, size: #(100% + 0.8em)))'
        scripts = {place: [child] for place, child in zip(places, node[1:], strict=False)}
        return self._attached(f"limits({code})", scripts, style)

    def _accented(self, node: Any, style: Style, place: str) -> str | None:
        mark = node[1]  # not its core: an \overset{\to} is a row
        known = symbols.OVER if place == "t" else symbols.UNDER
        if tag_of(mark) != "mo" or mark.get("accent") == "false" or (name := known.get(text_of(mark))) is None:
            return None
        base = self.write(node[0], style) or EMPTY
        if name.isalpha():
            return f"{name}({base})"
        size = "" if mark.get("data-stretchy") else ", size: #0pt"
        return f"accent({base}, {symbol(name)}{size})"

    def _mmultiscripts(self, node: Any, style: Style) -> str:
        places: dict[str, list[Any]] = {"br": [], "tr": [], "bl": [], "tl": []}
        side = "r"
        index = 0
        for child in node[1:]:
            if tag_of(child) == "mprescripts":
                side, index = "l", 0
                continue
            places[("b", "t")[index % 2] + side].append(child)
            index += 1
        return self._attached(self.write(node[0], style), places, style)

    def _mtable(self, node: Any, style: Style) -> str:
        return tables.matrix(self, node, style)


def _set(node: Any, style: Style) -> Style:
    """Return the style that an element asks for."""
    display = style.display
    if tag_of(node) == "mstyle" and node.get("displaystyle"):
        display = node.get("displaystyle") == "true"
    level = node.get("scriptlevel", "")
    number = int(level) if re.fullmatch(r"[+-]?[0-9]", level) else None
    if number is None:
        return replace(style, display=display)
    return replace(style, display=display, level=max(0, number + (style.level if level[0] in "+-" else 0)))
