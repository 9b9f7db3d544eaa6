"""Formulas as Typst: everything compiles, and says what it should."""

import io
import json
import re
from pathlib import Path

import pypdf
import pytest
import quickjs
import typst
from nbconvert_typst import formulas
from nbconvert_typst.formulas import Formula, Typesetter
from nbconvert_typst.typst_math import anchors_of, typst_math

#: Names of MathJax's commands and environments, by the kind of map that they are in.
_NAMES = """
(() => {
  const { Configuration, MapHandler, AllPackages } = MathJax._.input.tex;
  const names = { macro: [], environment: [], delimiter: [] };
  const packages = AllPackages.AllPackages.filter((name) => name !== "bussproofs");
  for (const name of [...packages, "require", "physics"]) {
    const { handler } = Configuration.ConfigurationHandler.get(name);
    for (const kind of Object.keys(names)) {
      for (const map of handler[kind]) names[kind].push(...MapHandler.MapHandler.getMap(map).map.keys());
    }
  }
  return JSON.stringify(names);
})()
"""


def typst_of(*tex: str, display: bool = True, anchors: bool = False) -> str:
    results = Typesetter().typeset([Formula(each, display, each) for each in tex])
    labels = anchors_of(result.element for result in results) if anchors else None
    return "\n\n".join(typst_math(result.element, labels) for result in results)


def pdf_of(code: str) -> bytes:
    return typst.compile(code.encode())


def text_of(*tex: str, display: bool = True) -> str:
    (page,) = pypdf.PdfReader(io.BytesIO(pdf_of(typst_of(*tex, display=display, anchors=True)))).pages
    return page.extract_text()


def mathjax_names() -> dict[str, list[str]]:
    context = quickjs.Context()
    folder = Path(formulas.__file__).parent / "mathjax"
    for script in [formulas._GLOBALS, *((folder / name).read_text(encoding="utf-8") for name in formulas._SCRIPTS)]:
        context.eval(script)
    return json.loads(context.eval(_NAMES))


def every_command() -> list[str]:
    names = mathjax_names()
    assert {kind: len(found) > 50 for kind, found in names.items()} == dict.fromkeys(names, True)
    commands = [rf"a \{name}{{x}}{{y}} b" for name in names["macro"]]
    commands += [rf"\left{name} \frac{{a}}{{b}} \middle{name} x \right{name} \Big{name}" for name in names["delimiter"]]
    for name in names["environment"]:
        commands += [rf"\begin{{{name}}}{more} a & b \\ c & d \end{{{name}}}" for more in ("", "{cc}")]
    return commands


def test_every_command_and_environment_compiles() -> None:
    commands = every_command()
    results = Typesetter().typeset([Formula(each, True, each) for each in commands])
    understood = [result for result in results if result.problem is None]
    assert len(understood) > 0.75 * len(commands)  # the rest wants other arguments
    codes = [typst_math(result.element, {}) for result in results]
    codes += [
        typst_math(result.element) for result in Typesetter().typeset([Formula(c, False, c) for c in commands[::9]])
    ]
    try:
        pdf_of("\n\n".join(codes))
    except typst.TypstError:
        for command, code in zip(commands, codes, strict=False):
            try:
                pdf_of(code)
            except typst.TypstError as error:
                pytest.fail(f"{command}: {error}\n{code}")
        raise


@pytest.mark.parametrize(
    ("tex", "characters"),
    [
        (r"\otimes \odot \ominus \oplus", "⊗⊙⊖⊕"),
        (r"\bigotimes \bigodot", "⨂⨀"),
        (r"a \cap b \cup c \sqcap d", "𝑎∩𝑏∪𝑐⊓𝑑"),
        (r"\bigcap \bigcup", "⋂⋃"),
        (r"a \le b \ne c \in d \notin e", "𝑎≤𝑏≠𝑐∈𝑑∉𝑒"),
        (r"\hbar \ell \partial \nabla \infty", "∇∞"),
        (r"\text{if } x", "if"),
        (r"\sin x + \operatorname{argmax} y", "argmax"),
        (r"1{,}000.5", "1,000.5"),
        (r"\text{größer } 中", "größer"),
        (r"\mathbb{R}", "ℝ"),
        (r"\mathcal{L}", "ℒ"),
        (r"\tag{3a} x", "(3a)"),
        (r"\begin{align} a &= b \tag{1} \\ c &= d \\ e &= f \tag{*} \end{align}", "(*)"),
        (r"\begin{multline} a \\ b \tag{7} \end{multline}", "(7)"),
        (r"\ce{H2O}", "O"),
        (r"\foo", r"\foo"),
        (r"\frac{1", r"\frac{1"),
    ],
)
def test_characters_are_in_the_pdf(tex: str, characters: str) -> None:
    assert characters in re.sub(r"\s", "", text_of(tex))


@pytest.mark.parametrize(
    ("tex", "parts"),
    [
        (r"x + y", ['x class("binary", \\u{2b})y']),
        (r"a{-1}", ['class("normal", \\u{2212})1']),
        (r"ab", ["a b"]),
        (r"12x", ["12 x"]),
        (r"\frac{a}{b}", ["frac(a, b)"]),
        (r"\left(\frac{a}{b}\right]", ["lr(\\u{28}frac(a, b)\\u{5d})"]),
        (r"\left\{\begin{array}{ll} 1 & x \\ 0 & y \end{array}\right.", ["lr(\\u{7b}mat(delim: #none"]),
        (r"\begin{cases} 1 & x & z \\ 0 & y & z \end{cases}", ["lr(\\u{7b}mat(delim: #none"]),
        (r"\begin{aligned} a &= b & c &= d \end{aligned}", ["display(a)&", "#box(width: 1em)", "&#box(width: 1em)"[0]]),
        (r"\begin{array}{cc|c} 1 & 2 & 3 \end{array}", ["vline: (2,)", "#box(width: 0.5em)"]),
        (r"\begin{array}{c:c} 1 & 2 \\ \hdashline 3 & 4 \end{array}", ["hline: (1,)", 'dash: "dashed"']),
        (r"\begin{array}{|c|} \hline 1 \\ \hline \end{array}", ["#box(stroke: 0.5pt"]),
        (r"\sum_i^n x", ["attach(limits(\\u{2211}), b: i, t: n)"]),
        (r"\textstyle \sum_i^n x", ["attach(\\u{2211}, br: i, tr: n)"]),
        (r"\int_0^1 x", ["attach(\\u{222b}, br: 0, tr: 1)"]),
        (r"\hat{x} \widehat{abc}", ["accent(x, \\u{302}, size: #0pt)", "accent(a b c, \\u{302})"]),
        (r"\underbrace{x}_{n}", ["attach(limits(underbrace(x)), b: n)"]),
        (r"\xrightarrow{f} y", ["stretch(\\u{2192}"]),
        (r"\mathbf{x} \mathrm{d} \boldsymbol{\alpha}", ["bold(upright(x))", "upright(d)", "bold(italic(\\u{3b1}))"]),
        (r"\boxed{x} \cancel{y}", ["#box(stroke: (rest: 0.5pt)", "cancel(y)"]),
        (r"\color{red} x", ['#text(fill: rgb("#ff0000"), $x$)']),
        (r"\href{https://example.org}{x}", ['#link("https://']),
        (r"\tag{3} x", ['numbering: (..) => [$"(3)"$]']),
        (r"\dfrac{1}{2}", ["frac(1, 2)"]),
        (r"\tfrac{1}{2}", ["inline(frac(1, 2))"]),
        (r"\bigl( x \bigr)", ['class("opening", lr(size: #1.2em']),
    ],
)
def test_what_is_written(tex: str, parts: list[str]) -> None:
    code = typst_of(tex)
    assert [part for part in parts if part not in code] == []


def test_scripts_keep_their_size_in_boxes_and_cells() -> None:
    code = typst_of(r"x^{\begin{matrix} a \end{matrix}} \begin{matrix} b \end{matrix}", display=False)
    assert "script(a)" in code
    assert "inline(b)" in code


def test_only_links_that_are_safe_are_kept() -> None:
    assert "#link" not in typst_of(r"\href{javascript:alert(1)}{x}")


def test_references_link_to_their_equation() -> None:
    tex = (r"\eqref{e}", r"\begin{equation} x \label{e} \end{equation}", r"\begin{equation} y \label{e} \end{equation}")
    (page,) = pypdf.PdfReader(io.BytesIO(pdf_of(typst_of(*tex, anchors=True)))).pages
    assert page["/Annots"]
    assert "#link" not in typst_of(*tex)
    pdf_of(
        typst_of(r"\eqref{e}") + typst_of(*tex, anchors=True).split("\n\n")[0]
    )  # the equation is not in the document


@pytest.mark.parametrize(
    "tex",
    [
        *(start * 30 + "x" + end * 30 for start, end in ((r"\frac{1}{1+", "}"), ("x^{", "}"), (r"\rlap{", "}"))),
        *(
            start * 30 + "x" + end * 30
            for start, end in ((r"\boxed{", "}"), (r"\raise 1pt{", "}"), (r"\phantom{", "}"))
        ),
        "{" * 1000 + "x" + "}" * 1000,
        r"\text{" + "]#\\$`" + '"' + "}",
        r'\text{"#panic()" // /* $ ] \\}',
        "\x00\ud800\uffff",
        r"\unicode{x2028}\unicode{x202e}",
        r"\rule{1em}{2em}\colorbox{#ffeedd}{x}\color{no such}{x}\style{color: x}{y}",
        r"\verb|#let x = $|",
        r"{}_a^b{}^{}_{} \left.\right. \frac{}{} \sqrt{} \hat{} \overline{} \begin{matrix}\end{matrix} \boxed{}",
        "",
    ],
)
@pytest.mark.parametrize("display", [True, False])
def test_whatever_is_written_compiles(tex: str, display: bool) -> None:
    pdf_of(f"text {typst_of(tex, display=display)} text")


def test_too_deep_a_formula_shows_its_source() -> None:
    assert typst_of(r"\frac{1}{" * 90 + "x" + "}" * 90).startswith("#raw(")
