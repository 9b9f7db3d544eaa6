"""Names in Typst of the classes, styles and marks of MathML."""

from collections.abc import Callable

#: TeX's classes, as Typst names them.
CLASSES = {
    "ORD": "normal",
    "OP": "large",
    "BIN": "binary",
    "REL": "relation",
    "OPEN": "opening",
    "CLOSE": "closing",
    "PUNCT": "punctuation",
    "INNER": "normal",
}

#: Characters that have a class in Typst already; every other one is given its class.
DEFAULT_CLASSES = {
    "normal": "./@…′″‴⁗⋮⋯⋱∞∂∀∃∇¬",
    "opening": "([{⟨⌈⌊",
    "closing": ")]}⟩⌉⌋",
    "punctuation": ",;",
    "relation": ":=<>≠≡≤≥≈≅∼≃∝∈∉∋⊂⊃⊆⊇→←↔⇒⇐⇔↦∣⟶⟵⟹⟺≪≫⊢⊨",
    "binary": "×÷∗∘∙∧∨∩∪⊕⊖⊗⊙⋅⋆",
    "large": "∏∐∑∫∬∭∮⋀⋁⋂⋃⨀⨁⨂⨄⨆⨌",
}

#: Letters that Typst sets in italics by itself.
ITALIC = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZαβγδεζηθικλμνξοπρςστυφχψωϵϑϰϕϱϖ∂ıȷ"

VARIANTS = {
    "normal": ("upright",),
    "bold": ("bold", "upright"),
    "italic": ("italic",),
    "bold-italic": ("bold", "italic"),
    "double-struck": ("bb",),
    "fraktur": ("frak",),
    "bold-fraktur": ("bold", "frak"),
    "script": ("scr",),
    "bold-script": ("bold", "scr"),
    "sans-serif": ("sans", "upright"),
    "bold-sans-serif": ("bold", "sans", "upright"),
    "sans-serif-italic": ("sans", "italic"),
    "sans-serif-bold-italic": ("bold", "sans", "italic"),
    "monospace": ("mono",),
}

#: Marks above and below: a function, or the character of an accent.
OVER = {
    "―": "overline",
    "⏞": "overbrace",
    "⎴": "overbracket",
    "⏜": "overparen",
    "⏠": "overshell",
    "^": "\u0302",
    "ˆ": "\u0302",
    "ˇ": "\u030c",
    "~": "\u0303",
    "˜": "\u0303",
    "˙": "\u0307",
    "¨": "\u0308",
    "´": "\u0301",
    "`": "\u0300",
    "¯": "\u0304",
    "˘": "\u0306",
    "˚": "\u030a",
    "→": "\u20d7",
    "←": "\u20d6",
    "↔": "\u20e1",
    "⇀": "\u20d1",
    "↼": "\u20d0",
}
UNDER = {
    "―": "underline",
    "_": "underline",
    "⏟": "underbrace",
    "⎵": "underbracket",
    "⏝": "underparen",
    "⏡": "undershell",
    "→": "\u20ef",
    "←": "\u20ee",
    "↔": "\u034d",
}


_STRIKES = {
    "updiagonalstrike": "",
    "downdiagonalstrike": ", inverted: #true",
    "horizontalstrike": ", angle: #90deg",
    "verticalstrike": ", angle: #0deg",
    "updiagonalarrow": "",
}
_CORNERS = {
    "actuarial": ("right", "top"),
    "longdiv": ("left", "top"),
    "madruwb": ("right", "bottom"),
    "phasorangle": ("bottom",),
}
_ROUND = {"roundedbox": "0.3em", "circle": "50%"}
_SIDES = ("left", "right", "top", "bottom")


def struck(notations: list[str], code: Callable[[], str]) -> str:
    """Return a formula with strokes through it, nothing where no notation is one."""
    strikes = sorted(name for name in notations if name in _STRIKES)
    if not strikes:
        return ""
    return "".join("cancel(" for _ in strikes) + code() + "".join(f"{_STRIKES[name]})" for name in strikes)


def stroke(notations: list[str], padded: bool) -> str:
    """Return the options of a box with strokes around a formula."""
    sides = [side for side in _SIDES if side in notations]
    sides += [side for name in notations for side in _CORNERS.get(name, ())]
    radius = next((f", radius: {_ROUND[name]}" for name in notations if name in _ROUND), "")
    if radius or "box" in notations:
        sides = ["rest"]
    strokes = ", ".join(f"{side}: 0.5pt" for side in dict.fromkeys(sides)) or ":"
    return f"stroke: ({strokes}){radius}" + (", inset: (x: 0.3em), outset: (y: 0.3em)" if padded else "")
