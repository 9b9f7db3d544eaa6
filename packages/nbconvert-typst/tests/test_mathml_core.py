"""MathML for browsers that know MathML Core and not MathJax's styles."""

import pytest
from lxml import etree
from nbconvert_typst.formulas import Formula, Typesetter
from nbconvert_typst.mathml_core import for_browsers


def html(*tex: str, display: bool = True) -> str:
    results = Typesetter().typeset([Formula(each, display, each) for each in tex])
    for result in results:
        for_browsers(result.element)
        del result.element.attrib["alttext"]
    return "".join(etree.tostring(result.element, encoding="unicode") for result in results)


@pytest.mark.parametrize(
    ("tex", "letters"),
    [
        (r"\mathbb{R}", "ℝ"),
        (r"\mathbb{A}", "𝔸"),
        (r"\mathcal{L}", "ℒ"),
        (r"\mathfrak{Cg}", "ℭ𝔤"),
        (r"\mathbf{x1}", "𝐱𝟏"),
        (r"\boldsymbol{\alpha h}", "𝜶𝒉"),
        (r"\mathit{h}", "ℎ"),
        (r"\mathsf{x}", "𝗑"),
        (r"\mathtt{x1}", "𝚡𝟷"),
        (r"\textbf{ab}", "𝐚𝐛"),
        (r"\boldsymbol{\nabla}", "𝛁"),
        (r"\mathbf{+}", "+"),
    ],
)
def test_variants_are_characters(tex: str, letters: str) -> None:
    code = html(tex)
    assert "mathvariant" not in code
    assert "".join(etree.fromstring(code).itertext()) == letters


def test_upright_letters_stay_upright() -> None:
    assert '<mi mathvariant="normal">d</mi>' in html(r"\mathrm{d}")


def test_columns_are_aligned_and_apart() -> None:
    code = html(r"\begin{aligned} a &= b & c &= d \end{aligned}")
    aligns = [cell.get("style").split(";")[0] for cell in etree.fromstring(code).iter("{*}mtd")]
    assert aligns == ["text-align: -webkit-right", "text-align: -webkit-left"] * 2
    assert "padding: 0em 1em 0em 0em" in code


def test_lines_of_arrays_are_borders() -> None:
    code = html(r"\begin{array}{|c|c:c|} \hline a & b & c \\ \hline d & e & f \\ \hline \end{array}")
    assert code.count("border-right: thin solid") == code.count("border-right: thin dashed") == 2
    assert code.count("border-bottom: thin solid") == 3
    assert 'style="border: thin solid"' in code


def test_numbers_stand_at_the_right_margin() -> None:
    code = html(r"\eqref{e}", r"\begin{align} a &= b \label{e} \\ c &= d \notag \end{align}")
    first, second = list(etree.fromstring(f"<p>{code}</p>").iter("{*}mtr"))
    assert [len(first), len(second)] == [4, 4]
    assert first[-1].get("id") == "mjx-eqn:e"
    assert "text-align: -webkit-right" in first[-1].get("style")
    assert "mlabeledtr" not in code
    assert 'href="#mjx-eqn%3Ae">(1)</a>' in code


@pytest.mark.parametrize(
    ("tex", "style"),
    [
        (r"\boxed{x}", "border: thin solid"),
        (r"\cancel{x}", "linear-gradient(to bottom right"),
        (r"\xcancel{x}", "linear-gradient(to bottom left"),
        (r"\overline{ab}", "border-top: thin solid"),
        (r"\underline{ab}", "border-bottom: thin solid"),
    ],
)
def test_strokes_are_drawn_with_css(tex: str, style: str) -> None:
    code = html(tex)
    assert style in code
    assert "menclose" not in code


def test_functions_stand_apart_from_letters() -> None:
    assert html(r"2\sin x").count('width="0.167em"') == 1
    assert 'rspace="0.167em"' in html(r"\sin x")
    assert "0.167em" not in html(r"\sin(x)")


def test_accents_are_told_from_limits() -> None:
    assert 'accent="true"' in html(r"\hat{x}")
    assert 'accent="true"' not in html(r"\overset{\to}{x}")


@pytest.mark.parametrize(
    ("tex", "kept", "removed"),
    [
        (r"\href{javascript:alert(1)}{x}", "<mi>x</mi>", "javascript"),
        (r"\href{ javascript:alert(1)}{x}", "<mi>x</mi>", "javascript"),
        (r"\href{data:text/html,x}{x}", "<mi>x</mi>", "data:"),
        (r"\href{https://example.org}{x+y}", 'href="https://example.org"', "<mi href"),
        (r"\href{mailto:a@example.org}{x}", "mailto:", "<mi href"),
        (r"\style{color: red; position: fixed}{x}", "color: red", "position"),
        (r"\style{background: url(http://example.org)}{x}", "<mi>x</mi>", "url"),
        (r"\cssId{top}{x}", "<mi>x</mi>", "id="),
        (r"\class{top}{x}", "<mi>x</mi>", "class="),
        (r"\left(x\right)", "<mi>x</mi>", "data-"),
    ],
)
def test_what_a_formula_may_not_set_is_removed(tex: str, kept: str, removed: str) -> None:
    code = html(tex)
    assert kept in code
    assert removed not in code
