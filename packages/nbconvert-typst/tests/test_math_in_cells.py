"""Formulas in the cells of a notebook, as a reader finds them in the PDF."""

import re
from urllib.parse import unquote

import pytest
from every_output import pdf_of, shown
from nbconvert_typst import ReportHTMLExporter
from nbformat.v4 import new_markdown_cell, new_notebook

CASES = [
    (r"$A \cap B$ and $\bigcap_i A_i$, $a \sqcap b$", ["∩", "⋂", "⊓"]),
    (r"$u \otimes v$, $a \odot b$, $a \ominus b$, $\bigotimes_i$", ["⊗", "⊙", "⊖", "⨂"]),
    (r"The map $A = \begin{pmatrix}1 & 2\\3 & 4\end{pmatrix}$ is regular.", [r"The map 𝐴 =.*is regular\."]),
    (r"Let $ \alpha $ and $ x_1 $ be given.", ["Let 𝛼 and 𝑥 ?1 be given"]),
    (r"Inline \\(x^2\\) and" "\n\n" r"\\[ \int_0^1 x\,dx \\]", ["Inline 𝑥 ?2 and", "∫"]),
    ("| sign | meaning |\n|---|---|\n| $|x|$ | size |\n| $P(A|B)$ | given |", [r"\|𝑥\| size", r"𝑃 ?\(𝐴\|𝐵\) given"]),
    (r"$$\begin{array}{ccc}10 & 200 & 3000\\4 & 5 & 6\end{array}$$", [r"10 4 200 5 3000 6"]),
    (r"$$\begin{aligned}a &= b & c &= d\\e &= f & g &= h\end{aligned}$$", [r"𝑎 𝑒 = 𝑏 = 𝑓 𝑐 𝑔 = 𝑑 = ℎ"]),
    (r"$${a \over b} {n \choose k} {\rm const}$$", ["const"]),
    (r"$$u = v \tag{1}$$" "\n\n" r"\begin{align}a &= b \tag{2}\label{e}\end{align}" "\n\nSee \\eqref{e}.",
     [r"\(1\)", r"See \(2\)\."]),
    ("Write\n\n    \\begin{align}\n        a\n    \\end{align}", [r"\\begin\{align\} a \\end\{align\}"]),
    ("`$x$` and ```$y$```\n\n~~~\n$z$\n~~~", [r"\$x\$ and \$y\$ \$z\$"]),
]  # fmt: skip


@pytest.mark.parametrize(("markdown", "patterns"), CASES)
def test_formulas_of_markdown(markdown, patterns):
    pdf = pdf_of(new_markdown_cell(markdown))
    assert pdf.problems == []
    for pattern in patterns:
        assert re.search(pattern, pdf.words), pdf.words
    if "`" not in markdown and "    " not in markdown:
        assert not re.search(r"[$\\]|begin|tag|eqref", pdf.words)


def test_macros_hold_from_the_cell_that_defines_them_on():
    pdf = pdf_of(
        new_markdown_cell(r"$\newcommand{\E}{\mathbb{E}}$ $\def\R{\mathbb{R}}$"), new_markdown_cell(r"$\E x \in \R$")
    )
    assert "𝔼𝑥 ∈ ℝ" in pdf.words
    assert pdf.problems == []


def test_a_reference_reaches_an_equation_of_another_cell():
    cells = [
        new_markdown_cell(r"See \eqref{later}."),
        new_markdown_cell(r"\begin{equation}\label{later}x\end{equation}"),
    ]
    pdf = pdf_of(*cells)
    assert "See (1)." in pdf.words
    assert pdf.jumps >= 1  # one for each piece of the reference
    page, _ = ReportHTMLExporter().from_notebook_node(new_notebook(cells=cells))
    target = re.search(r'href="#(mjx-eqn[^"]*)"', page)[1]
    assert f'id="{unquote(target)}"' in page


@pytest.mark.parametrize(
    "around", ["# {}", "[{}](https://example.org)", "**{}**", "- {}", "> {}", "| {} |\n|---|\n| {} |"]
)
def test_formulas_stand_wherever_text_stands(around):
    pdf = pdf_of(new_markdown_cell(around.replace("{}", r"$\alpha \otimes \beta$")))
    assert "𝛼 ⊗ 𝛽" in pdf.words or "𝜶 ⊗ 𝜷" in pdf.words, pdf.words


def test_formulas_in_html_outputs():
    assert "𝛼 is" in pdf_of(shown(text__html=r"<p>$\alpha$ is <code>$\beta$</code></p>")).words
