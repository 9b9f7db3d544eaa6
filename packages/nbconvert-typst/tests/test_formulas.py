"""Formulas of a notebook: found by JupyterLab's rules, and read by MathJax."""

import time

import pytest
from lxml import etree
from nbconvert_typst import formulas, tools
from nbconvert_typst.errors import MissingDependencyError
from nbconvert_typst.formulas import Formula, Typesetter, lift, restore, split


def typeset(*tex: str, display: bool = True) -> list[formulas.Typeset]:
    return Typesetter().typeset([Formula(each, display, f"${each}$") for each in tex])


def mathml(result: formulas.Typeset) -> str:
    return etree.tostring(result.element, encoding="unicode")


@pytest.mark.parametrize(
    ("markdown", "found"),
    [
        ("a $x_1$ and $y_2$", ["$x_1$", "$y_2$"]),
        ("blanks inside: $ x $", ["$ x $"]),
        ("display: $$\nx\n$$ and more", ["$$\nx\n$$"]),
        (r"\\( x_1 \\) and \\[ y \\]", [r"\( x_1 \)", r"\[ y \]"]),
        ("\\begin{align*}\na_1 &= b\n\\end{align*}", ["\\begin{align*}\na_1 &= b\n\\end{align*}"]),
        (r"in the line: $A = \begin{pmatrix} a & b \end{pmatrix}$", [r"$A = \begin{pmatrix} a & b \end{pmatrix}$"]),
        (r"$\text{costs \$5 or $x$}$", [r"$\text{costs \$5 or $x$}$"]),
        ("$x {$ y} z$", ["$x {$ y} z$"]),
        ("$x { y$ and", ["$x { y$"]),
        ("it costs $5", []),
        ("$5 and\n\nthen $6", []),
        ("$5 and\n  \nthen $x$", ["$x$"]),
        (r"it costs \$5 and $x$", ["$x$"]),
        ("`$x$` and ``$y`$``", []),
        ("`$HOME` and $x$ and `$PATH`", ["$x$"]),
        ("```\necho $HOME\n```\nand $x$", ["$x$"]),
        ("~~~sh\necho $HOME\n~~~\nand $PATH", []),
        ("`\\begin{x}` and `\\end{x}`", []),
        ("```\n\\\\(x\\\\)\n```", []),
        ("~ $x$ `~`", ["$x$"]),
        ("| a | b |\n|---|---|\n| $|x|$ | $y$ |", ["$|x|$", "$y$"]),
        ("a\r\n$x$\r\n", ["$x$"]),
        ("a \ue0000\ue001 $x$ b", ["\ue000", "\ue001", "$x$"]),
    ],
)
def test_math_is_lifted_as_in_jupyterlab(markdown: str, found: list[str]) -> None:
    assert lift(markdown)[1] == found


@pytest.mark.parametrize(
    "markdown",
    ["a $x$ b\n\n$$\ny\n$$", "a \ue0000\ue001 $\ue000$ b", "```\n\\\\(x\\\\)\n```", "~ ~T `~D` $x$", "$a $ b $"],
)
def test_restored_text_is_the_text(markdown: str) -> None:
    assert restore(*lift(markdown)) == markdown


def test_placeholders_stand_for_the_math() -> None:
    assert lift("a $x$ b $y$")[0] == "a \ue0000\ue001 b \ue0001\ue001"
    assert restore("<td>\ue0001\ue001</td>", ["x", "\ue0000\ue001"]) == "<td>\ue0000\ue001</td>"


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("a $x$ b", ["a ", Formula("x", False, "$x$"), " b"]),
        ("$$x$$", [Formula("x", True, "$$x$$")]),
        (r"\(x\) \[y\]", [Formula("x", False, r"\(x\)"), " ", Formula("y", True, r"\[y\]")]),
        (r"$a \text{b $c$}$", [Formula(r"a \text{b $c$}", False, r"$a \text{b $c$}$")]),
        (r"$a\$b$", [Formula(r"a\$b", False, r"$a\$b$")]),
        (r"\begin{a*}x\end{a*}", [Formula(r"\begin{a*}x\end{a*}", True, r"\begin{a*}x\end{a*}")]),
        (r"\begin{a}x\end{b}", [r"\begin{a}x\end{b}"]),
        (r"see \eqref{e}.", ["see ", Formula(r"\eqref{e}", False, r"\eqref{e}"), "."]),
        (r"\$5 and \\ and $6", [r"$5 and \ and $6"]),
        ("", []),
    ],
)
def test_text_is_split_as_by_mathjax(text: str, parts: list) -> None:
    assert split(text) == parts


def test_macros_hold_for_later_formulas() -> None:
    first, second = typeset(r"\newcommand{\R}{\mathbb{R}} x", r"\R")
    assert 'mathvariant="double-struck">R<' in mathml(second)
    assert first.problem is None


def test_references_find_labels_that_come_later() -> None:
    reference, equation = typeset(r"\eqref{e}", r"\begin{equation} x \label{e} \end{equation}")
    assert "(1)" in mathml(reference)
    assert 'href="#mjx-eqn%3Ae"' in mathml(reference)
    assert 'id="mjx-eqn:e"' in mathml(equation)


def test_equations_have_no_number_where_none_is_referred_to() -> None:
    (equation,) = typeset(r"\begin{equation} x \label{e} \end{equation}")
    assert "mlabeledtr" not in mathml(equation)


def test_a_copied_label_is_no_error() -> None:
    assert [each.problem for each in typeset(r"\ref{e}", r"x \tag{1}\label{e}", r"x \tag{1}\label{e}")] == [None] * 3


@pytest.mark.parametrize(
    ("tex", "problem"),
    [
        (r"\foo x \bar{x} \foo \baz", r"unknown command \foo, \baz"),
        (r"\ref{e}", "reference to an unknown label"),
        (r"\frac{1}", r"Missing argument for \frac"),
        (r"\begin{foo}\end{foo}", "Unknown environment 'foo'"),
        (r"\def\x{\x a}\x", "maximum macro substitution count exceeded"),
        (r"\def\x#1{\x{#1#1}}\x{a}", "buffer size exceeded"),
        (r"\require{bussproofs}", "not allowed to be loaded"),
        ("{" * 5000 + "}" * 5000, "nested too deeply"),
        (r"\sqrt{" * 1000 + "x" + "}" * 1000, "nested too deeply"),
        ("x^{" * 200 + "x" + "}" * 200, "nested too deeply"),
    ],
)
def test_problems_are_named(tex: str, problem: str) -> None:
    broken, next_one = typeset(tex, "x")
    assert problem in broken.problem
    assert next_one.problem is None
    assert broken.element.get("alttext") == f"${tex}$"


def test_an_error_shows_the_source() -> None:
    (broken,) = typeset(r"a<b \frac{1}")
    assert "<merror><mtext>$a&lt;b \\frac{1}$</mtext></merror>" in mathml(broken)


@pytest.mark.parametrize("tex", ["\x00\x01\x7f", "\ud800 \udfff", r"\unicode{x1} \unicode{xD800}", "", "%", "\\", "😀"])
def test_any_characters_give_mathml(tex: str) -> None:
    (result,) = typeset(tex)
    etree.fromstring(mathml(result))


@pytest.mark.parametrize("name", ["cancel", "physics", "mhchem", "ams", "color", "boldsymbol"])
def test_bundled_extensions_may_be_required(name: str) -> None:
    (result,) = typeset(rf"\require{{{name}}} x")
    assert result.problem is None


def test_typesetting_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formulas, "_TIME_LIMIT", 0.3)
    start = time.monotonic()
    long, short = typeset("x" * 100_000, "x")
    assert (long.problem, short.problem) == ("typesetting took too long", None)
    assert time.monotonic() - start < 5


def test_a_missing_wheel_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(module: str) -> None:
        raise ImportError(module)

    monkeypatch.setattr(tools, "import_module", missing)
    assert Typesetter().typeset([]) == []
    with pytest.raises(MissingDependencyError, match="pip install quickjs-ng"):
        typeset("x")
