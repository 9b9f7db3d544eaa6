"""The tokens of MathML, which are letters, numbers, text, operators and spaces, as Typst."""

import re
from typing import Any

from nbconvert_typst import typst_symbols as symbols
from nbconvert_typst.typst_code import EMPTY, ems, space, symbol, tag_of
from nbconvert_typst.typst_text import color, literal

_WORD = re.compile(r"[a-z][a-z0-9]*", re.IGNORECASE)
_INVISIBLE = re.compile("[\u2061-\u2064\u200b-\u200d\ufe00-\ufe0f\ufeff]")


def token(node: Any) -> str | None:
    """Return a token's code, None where the element is none."""
    writer = _WRITERS.get(tag_of(node))
    return writer(node) if writer else None


def text_of(node: Any) -> str:
    """Return an element's text, without the invisible operators that MathML puts between letters."""
    return _INVISIBLE.sub("", "".join(node.itertext()))


def _varied(code: str, node: Any, variant: str | None) -> str:
    functions = symbols.VARIANTS.get(variant or "", ())
    if variant in ("script", "bold-script") and "calligraphic" in node.get("data-mjx-variant", ""):
        functions = tuple("cal" if name == "scr" else name for name in functions)
    for name in reversed(functions):
        code = f"{name}({code})"
    return code


def is_fence(node: Any) -> bool:
    """Tell whether an element is a delimiter that grows with what is beside it; an empty one counts, too."""
    return tag_of(node) == "mo" and bool(node.get("data-stretchy")) and len(text_of(node)) <= 1


def delimiter(node: Any, kind: str) -> str:
    """Return the first or the last delimiter of a group, an "opening" or a "closing" one."""
    text = text_of(node)
    if not text:
        return space(0.12)
    return symbol(text) if text in symbols.DEFAULT_CLASSES[kind] else f'class("{kind}", {symbol(text)})'


def _mi(node: Any) -> str:
    text = text_of(node)
    variant = node.get("mathvariant", "italic" if len(text) == 1 else "normal")
    is_operator = len(text) > 1 and variant == "normal" and node.get("data-mjx-auto-op") != "false"
    if is_operator and _WORD.fullmatch(text):
        return f"op({literal(text)})"
    if len(text) > 1:
        return _varied(literal(text), node, None if variant == "normal" else variant)
    if not text:
        return EMPTY
    default = "italic" if text in symbols.ITALIC else "normal"
    as_it_is = variant == default or (variant == "normal" and not text.isalpha())
    return symbol(text) if as_it_is else _varied(symbol(text), node, variant)


def _mn(node: Any) -> str:
    text = text_of(node)
    code = text if text.isascii() and text.isdigit() else literal(text)
    return _varied(code, node, node.get("mathvariant"))


def _mtext(node: Any) -> str:
    text = text_of(node).replace("\xa0", " ")
    return _varied(literal(text), node, node.get("mathvariant")) if text else ""


def _ms(node: Any) -> str:
    return literal(f"{node.get('lquote', '“')}{text_of(node)}{node.get('rquote', '”')}")


def _mo(node: Any) -> str:
    return operator(node, symbols.CLASSES.get(node.get("data-class", ""), "normal"))


def operator(node: Any, kind: str) -> str:
    """Return an operator of one of Typst's classes."""
    text = text_of(node).replace("\u2006", " ")  # of lim sup
    if not text:
        return EMPTY if node.text is None else ""
    if len(text) > 1 and text.replace(" ", "").isalnum():
        return f"op({_varied(literal(text), node, node.get('mathvariant'))})"
    code = _varied(symbol(text), node, node.get("mathvariant"))
    if (size := ems(node.get("minsize")) or 0) > 0 and len(text) == 1:
        return f'class("{kind}", lr(size: #{size:g}em, class("fence", {code})))'
    if kind == "large" and len(text) == 1 and text not in symbols.DEFAULT_CLASSES["large"]:
        return f"op({code})"
    default = all(c in symbols.DEFAULT_CLASSES.get(kind, "") for c in text)
    return code if default else f'class("{kind}", {code})'


def _mspace(node: Any) -> str:
    width, height, depth = (ems(node.get(name)) or 0 for name in ("width", "height", "depth"))
    if fill := color(node.get("mathbackground")):  # of \rule
        return space(width, f", height: {height + depth:g}em, baseline: {depth:g}em, fill: {fill}")
    return space(width) if width else ""


_WRITERS = {"mi": _mi, "mn": _mn, "mtext": _mtext, "ms": _ms, "mo": _mo, "mspace": _mspace}
