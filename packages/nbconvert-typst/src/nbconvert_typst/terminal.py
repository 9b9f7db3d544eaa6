"""Text of a terminal: its colours and links as HTML."""

import re

import lxml.html
from lxml.html import HtmlElement
from nbconvert.filters import ansi2html, strip_ansi

#: xterm's colours, dark enough to be read on paper, and light enough to be read upon.
_COLORS = {"black": "#3e424d", "red": "#c4261d", "green": "#007427", "yellow": "#8a6500", "blue": "#1456a0",
           "magenta": "#a0288f", "cyan": "#0b6f78", "white": "#757575"}  # fmt: skip
_BACKGROUNDS = {"black": "#3e424d", "red": "#f6c4c1", "green": "#bfe5cd", "yellow": "#f5e3a8", "blue": "#c5daf2",
                "magenta": "#ecc8e6", "cyan": "#bfe3e8", "white": "#ececec"}  # fmt: skip
_STYLES = {"bold": "font-weight: bold", "underline": "text-decoration: underline"}
_LINK = re.compile(r"\x1b\]8;[^;\x07\x1b]*;([^\x07\x1b]*)(?:\x07|\x1b\\)")
_OTHER = re.compile(
    r"\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[()][0-9A-B]|\x1b[=>78cDEHMNOZ]"
    r"|[^\n]\x08|[\x00-\x08\x0b\x0c\x0e-\x1a\x1c-\x1f\x7f]"
)
_MARK = re.compile("\ue010([^\ue011\ue012]*)\ue011|\ue012")


def plain(text: str) -> str:
    """Return the text without any of a terminal's sequences."""
    return strip_ansi(_OTHER.sub("", _LINK.sub("", text)))


def colored(text: str) -> HtmlElement | None:
    """Return a <pre> with the colours and links of the text, None where it has none."""
    if "\x1b" not in text:
        return None
    marked = _LINK.sub(lambda match: f"\ue010{match[1]}\ue011" if match[1] else "\ue012", text)
    html = _MARK.sub(_anchor, ansi2html(_OTHER.sub("", marked)))
    pre = lxml.html.fragment_fromstring(f"<pre>{html}</pre>")
    if not len(pre):
        return None
    for span in pre.iter("span"):
        _style(span)
    return pre


def _anchor(match: re.Match) -> str:
    if match[1] is None:
        return "</a>"
    safe = match[1].startswith(("http://", "https://", "mailto:"))
    return f'<a href="{match[1]}">' if safe else "<a>"


def _style(span: HtmlElement) -> None:
    """Write nbconvert's classes for colours as style attributes."""
    style = [span.get("style")] if span.get("style") else []
    for name in span.attrib.pop("class", "").split():
        parts = name.removeprefix("ansi-").split("-")
        first, last = parts[0], parts[-1]
        if first in _STYLES:
            style.append(_STYLES[first])
        elif last == "fg":
            style.append(f"color: {_COLORS.get(first, '#ffffff')}")  # of inverse type
        elif last == "bg":
            style.append(f"background-color: {_BACKGROUNDS.get(first, '#3e424d')}")
    if style:
        span.set("style", "; ".join(style))
