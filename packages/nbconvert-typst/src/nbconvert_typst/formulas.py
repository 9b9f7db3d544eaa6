"""Formulas in Markdown and HTML, found by JupyterLab's rules and read by the parser that it uses, MathJax's."""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nbconvert_typst.tools import require

NAMESPACE = "http://www.w3.org/1998/Math/MathML"

_OPEN, _CLOSE = "\ue000", "\ue001"  # of a placeholder, around its number
_PLACEHOLDER = re.compile(f"{_OPEN}([0-9]+){_CLOSE}")

# JupyterLab's: what is looked at in Markdown, fenced blocks, and code spans with the character before them.
_TOKEN = re.compile(
    r"\$\$?|\\(?:begin|end)\{[a-z]*\*?\}|\\[{}$]|[{}]|(?:\n\s*)+|[\ue000\ue001]|\\\\[()\[\]]", re.IGNORECASE
)
_FENCE = re.compile(r"^(`{3,}|~{3,})[^`\n]*\n[\s\S]*?^\1`*$", re.MULTILINE)
_CODE_SPAN = re.compile(r"(?:^|[^\\])(`+)[^\n]*?[^`\n]\1(?!`)", re.MULTILINE)
_ENDS = {"$": "$", "$$": "$$", r"\\(": r"\\)", r"\\[": r"\\]"}

# MathJax's (FindTeX), over the text of HTML.
_START = re.compile(r"\$\$|\\\(|\\\[|\$|\\begin\s*\{([^}]*)\}|(\\[\\$]|\\(?:eq)?ref\s*\{[^}]*\})")
_DELIMITERS = {"$": (r"\$", False), r"\(": (r"\\\)", False), "$$": (r"\$\$", True), r"\[": (r"\\\]", True)}

#: In the order in which they build on each other.
_SCRIPTS = ("loader.js", "core.js", "adaptors/liteDOM.js", "input/tex-full.js", "typeset.js")
_GLOBALS = (
    "var window = globalThis, self = globalThis, global = globalThis, MathJax = {},"
    " console = { log() {}, warn() {}, error() {} };"
)
_MEMORY_LIMIT = 512 << 20  # bytes; MathJax itself takes 10 MB
_STACK_LIMIT = 4 << 20  # bytes; quickjs.Function runs in a thread with 8 MB
_TIME_LIMIT = 10.0  # seconds a formula; a long one takes 0.1 s

_FAILURES = {
    "": "MathJax ran out of memory",
    "RangeError: Maximum call stack size exceeded": "nested too deeply",
    "InternalError: interrupted": "typesetting took too long",
}

_REFERENCE = re.compile(r"\\(?:eq)?ref(?![A-Za-z])")
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_REPLACEMENT = "\ufffd"
_XML_ESCAPE = re.compile("&#x([0-9A-Fa-f]+);")


@dataclass(frozen=True)
class Formula:
    """A formula of a text: its TeX without delimiters, and its source with them."""

    tex: str
    display: bool
    source: str


@dataclass(frozen=True)
class Typeset:
    """A formula as MathML, and in words what MathJax did not understand of it.

    Of a formula with an error the element shows the source; an unknown command alone is shown in red.
    """

    element: Any  # lxml's, <math>
    problem: str | None = None


def lift(markdown: str) -> tuple[str, list[str]]:
    """Replace what may be math by placeholders, so that Markdown does not touch it; return both.

    These are JupyterLab's rules (removeMath in its latex.ts): delimiters match, braces balance, and no formula goes
    past a blank line or begins in a code span or a fenced block.
    """
    text = markdown.replace("\r\n", "\n").replace("\r", "\n")
    lifted: list[str] = []
    pieces: list[str] = []
    done = 0
    for start, end in _math_spans(text):
        pieces += [text[done:start], f"{_OPEN}{len(lifted)}{_CLOSE}"]
        lifted.append(_with_single_backslashes(text[start:end]))
        done = end
    return "".join([*pieces, text[done:]]), lifted


def restore(text: str, lifted: list[str]) -> str:
    """Put back what `lift` took out."""
    return _PLACEHOLDER.sub(lambda match: lifted[int(match[1])], text)


def split(text: str) -> list[str | Formula]:
    r"""Split the text of HTML into text and formulas, as MathJax finds them; `\$` becomes `$`."""
    parts: list[str | Formula] = []
    words: list[str] = []  # the text since the last formula
    done = position = 0
    while start := _START.search(text, position):
        position = start.end()
        found = _found(text, start)
        if found is None:
            continue
        words.append(text[done : start.start()])
        if isinstance(found, Formula):
            parts += ["".join(words), found]
            words = []
            position = start.start() + len(found.source)
        else:
            words.append(found)
        done = position
    parts.append("".join([*words, text[done:]]))
    return [part for part in parts if part]


class Typesetter:
    """MathJax for one notebook: macros and labels of a formula hold for the following ones."""

    def __init__(self) -> None:
        self._function: Any = None
        self._etree: Any = None

    def typeset(self, formulas: Iterable[Formula]) -> list[Typeset]:
        """Return every formula as MathML, in order; a reference finds labels that come after it, too.

        The first call settles whether equations are numbered: where one of its formulas refers to one.
        """
        formulas = list(formulas)
        if not formulas:
            return []
        if self._function is None:
            numbered = any(_REFERENCE.search(formula.tex) for formula in formulas)
            self._start("ams" if numbered else "none")
        problems = [self._compile(index, formula) for index, formula in enumerate(formulas)]
        return [
            self._result(index, formula, problem)
            for index, (formula, problem) in enumerate(zip(formulas, problems, strict=True))
        ]

    def _start(self, tags: str) -> None:
        quickjs = require("quickjs", "quickjs-ng")
        self._etree = require("lxml.etree", "lxml")
        folder = Path(__file__).parent / "mathjax"
        scripts = [(folder / name).read_text(encoding="utf-8") for name in _SCRIPTS]
        self._function = quickjs.Function("call", "\n".join([_GLOBALS, *scripts]))
        self._function.set_memory_limit(_MEMORY_LIMIT)
        self._function.set_max_stack_size(_STACK_LIMIT)
        self._function.set_time_limit(_TIME_LIMIT)
        self._quickjs = quickjs
        self._call("start", tags)

    def _call(self, method: str, *arguments: Any) -> Any:
        """Call a method of typeset.js; raise _Failure where it fails."""
        try:
            return json.loads(self._function(method, *arguments, run_gc=False))
        except (self._quickjs.JSException, MemoryError) as error:
            message = str(error).split("\n")[0].strip()
            raise _Failure(_FAILURES.get(message, message)) from error

    def _compile(self, index: int, formula: Formula) -> str | None:
        """Let MathJax read a formula; return why it failed, if it did."""
        try:
            self._call("compile", index, _NOT_XML.sub(_REPLACEMENT, formula.tex), formula.display)
        except _Failure as failure:
            return str(failure)
        return None

    def _result(self, index: int, formula: Formula, problem: str | None) -> Typeset:
        try:
            if problem:
                raise _Failure(problem)
            self._call("compileAgain", index)
            result = self._call("result", index)
            element = self._parsed(result["mathml"])
        except _Failure as failure:
            return Typeset(self._source(formula), str(failure))
        element.set("alttext", _NOT_XML.sub(_REPLACEMENT, formula.source))
        problem = None
        if result["unknown"]:
            problem = f"unknown command {', '.join(dict.fromkeys(result['unknown']))}"
        elif element.find(".//*[@href='#']") is not None:
            problem = "reference to an unknown label"
        return Typeset(element, problem)

    def _parsed(self, mathml: str) -> Any:
        etree = self._etree
        try:
            mathml = _NOT_XML.sub(_REPLACEMENT, _XML_ESCAPE.sub(_valid_escape, mathml))
            element = etree.fromstring(mathml, etree.XMLParser(resolve_entities=False))
        except etree.XMLSyntaxError as error:
            raise _Failure("nested too deeply") from error
        merror = element.find(".//{*}merror")
        if merror is not None:
            raise _Failure(merror.get("data-mjx-error") or "error")
        for node in element.iter():  # the serializer's indentation
            node.tail = None
            if len(node):
                node.text = None
        return element

    def _source(self, formula: Formula) -> Any:
        """Return a <math> that shows the source of a formula."""
        source = _NOT_XML.sub(_REPLACEMENT, formula.source)
        math = self._etree.Element(f"{{{NAMESPACE}}}math", {"alttext": source}, nsmap={None: NAMESPACE})
        if formula.display:
            math.set("display", "block")
        error = self._etree.SubElement(math, f"{{{NAMESPACE}}}merror")
        self._etree.SubElement(error, f"{{{NAMESPACE}}}mtext").text = source
        return math


class _Failure(Exception):
    """MathJax did not typeset a formula; the message says why."""


def _math_spans(text: str) -> Iterator[tuple[int, int]]:
    """Yield where what may be math starts and ends, and the characters of placeholders that are in the text already."""
    in_code = bytearray(len(text))
    for pattern in (_FENCE, _CODE_SPAN):
        for code in pattern.finditer(text):
            in_code[code.start() : code.end()] = b"\1" * (code.end() - code.start())
    tokens = [token for token in _TOKEN.finditer(text) if not (in_code[token.start()] and token[0][0] == "$")]
    start: int | None = None  # of the math, as a character
    last: int | None = None  # the last end delimiter inside unbalanced braces, as a token
    end, braces, index = "", 0, 0
    while index < len(tokens):
        token, part = tokens[index], tokens[index][0]
        if start is None:
            if part in (_OPEN, _CLOSE):
                yield token.span()
            elif not in_code[token.start()] and (part in _ENDS or part.startswith(r"\begin")):
                start, end, braces = token.start(), _ENDS.get(part) or part.replace("begin", "end", 1), 0
        elif part == end and not braces:
            yield start, token.end()
            start = last = None
        elif part == end:
            last = index
        elif part.count("\n") > 1:
            if last is not None:
                yield start, tokens[last].end()
                index = last
            start = last = None
        elif part == "{":
            braces += 1
        elif part == "}" and braces:
            braces -= 1
        index += 1
    if start is not None and last is not None:
        yield start, tokens[last].end()


def _with_single_backslashes(math: str) -> str:
    r"""Write the delimiters `\\(` and `\\[` of Markdown as MathJax knows them."""
    if (math[:3], math[-3:]) in ((r"\\(", r"\\)"), (r"\\[", r"\\]")):
        return math[1:-3] + math[-2:]
    return math


def _found(text: str, start: re.Match) -> str | Formula | None:
    """Return the formula that begins here, or the character that is escaped; None where no delimiter ends it."""
    environment, short = start[1], start[2]
    if short:
        return short[1] if len(short) == 2 else Formula(short, False, short)
    if environment is not None:
        end, display, delimited = rf"\\end\s*\{{{re.escape(environment)}\}}", True, False
    else:
        (end, display), delimited = _DELIMITERS[start[0]], True
    braces = 0
    for token in re.compile(rf"({end})|\\(?:[a-zA-Z]|.)|[{{}}]").finditer(text, start.end()):
        if token[1] is not None and not braces:
            source = text[start.start() : token.end()]
            return Formula(text[start.end() : token.start()] if delimited else source, display, source)
        if token[0] == "{":
            braces += 1
        elif token[0] == "}" and braces:
            braces -= 1
    return None


def _valid_escape(escape: re.Match) -> str:
    return _REPLACEMENT if _NOT_XML.match(chr(int(escape[1], 16))) else escape[0]
