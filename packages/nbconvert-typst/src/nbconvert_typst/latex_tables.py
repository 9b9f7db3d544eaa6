"""Tables that kernels write as LaTeX, as HTML."""

import html
import re

_TABULAR = r"\{(?:tabular[xy*]?|longtable)\}"
_BODY = re.compile(rf"\\begin{_TABULAR}(?P<body>.*)\\end{_TABULAR}", re.DOTALL)
_LINE_END = re.compile(r"\\\\(?:\s*\[[^\]]*\])?|\\tabularnewline\b")
_RULE = re.compile(
    r"\\(?:hline|toprule|midrule|bottomrule|hdashline|endhead|endfirsthead|endfoot|endlastfoot)\b"
    r"|\\(?:cline|cmidrule)(?:\([lr]*\))?\{[^}]*\}"
    r"|\\addlinespace(?:\[[^\]]*\])?"
)
_MULTICOLUMN = re.compile(r"\\multicolumn\s*\{(\d+)\}\s*\{[^}]*\}\s*\{(.*)\}\s*", re.DOTALL)
_MULTIROW = re.compile(r"\\multirow\s*(?:\[[^\]]*\])?\{[^}]*\}(?:\[[^\]]*\])?\{[^}]*\}")
_CAPTION = re.compile(r"\\caption\*?\{((?:[^{}]|\{[^{}]*\})*)\}")
_FORMULA = re.compile(r"(?<!\\)(\$.*?(?<!\\)\$)", re.DOTALL)
_COMMAND = re.compile(r"\\(\w+)\{([^{}]*)\}")
_TAGS = {"textbf": "b", "textit": "i", "emph": "i", "texttt": "code"}
_NAMES = {"textbackslash": "\\", "textasciitilde": "~", "textasciicircum": "^", "ldots": "…", "dots": "…"}
_NAME = re.compile(rf"\\({'|'.join(_NAMES)})(?![a-zA-Z])\s?(?:\{{\}})?")


def table_html(source: str) -> str | None:
    """Return the first tabular of a LaTeX text as a <table>, None where there is none.

    The rows above the first rule between rows are its heading.
    """
    match = _BODY.search(source)
    if match is None:
        return None
    head, rows = _rows(_MULTIROW.sub("", re.sub(r"(?<!\\)%.*", "", _without_columns(match["body"]))))
    caption = _CAPTION.search(source)
    return (
        "<table>"
        + (f"<caption>{_inline(caption[1])}</caption>" if caption else "")
        + (f"<thead>{''.join(_written(row, 'th') for row in head)}</thead>" if head else "")
        + f"<tbody>{''.join(_written(row, 'td') for row in rows)}</tbody></table>"
    )


def _without_columns(body: str) -> str:
    """Drop the arguments that follow \\begin{tabular}: a position, a width, the columns."""
    depth = 0
    for index, char in enumerate(body):
        depth += {"{": 1, "[": 1, "}": -1, "]": -1}.get(char, 0)
        if depth == 0 and not char.isspace() and char not in "}]":
            return body[index:]
    return ""


def _rows(body: str) -> tuple[list[str], list[str]]:
    """Return the rows of the heading and the others."""
    head: list[str] = []
    rows: list[str] = []
    for line in _LINE_END.split(body):
        if _RULE.match(line.strip()) and rows and not head:
            head, rows = rows, []
        if text := _RULE.sub("", line).strip():
            rows.append(text)
    return (head, rows) if rows else ([], head)


def _written(row: str, tag: str) -> str:
    cells = []
    for cell in re.split(r"(?<!\\)&", row):
        match = _MULTICOLUMN.fullmatch(cell.strip())
        span, text = (f" colspan={match[1]}", match[2]) if match else ("", cell)
        cells.append(f"<{tag}{span}>{_inline(text.strip())}</{tag}>")
    return f"<tr>{''.join(cells)}</tr>"


def _inline(text: str) -> str:
    """Return the text of a cell as HTML; its formulas stay as they are."""
    parts = _FORMULA.split(text)
    return "".join(html.escape(part) if n % 2 else _words(part) for n, part in enumerate(parts))


def _words(text: str) -> str:
    text = _NAME.sub(lambda match: _NAMES[match[1]], text.replace("---", "—").replace("--", "–").replace("~", "\u00a0"))
    text = html.escape(text, quote=False)
    while (match := _COMMAND.search(text)) is not None:
        tag = _TAGS.get(match[1])
        inner = f"<{tag}>{match[2]}</{tag}>" if tag else match[2]
        text = text[: match.start()] + inner + text[match.end() :]
    # A dollar stays escaped, as formulas are looked for later.
    return re.sub(r"\\(&amp;|[%#_{},; ])", r"\1", text).replace("{", "").replace("}", "")
