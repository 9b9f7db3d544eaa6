"""Parts of the HTML page for reading: contents, anchors, identifiers as links, the font of the formulas."""

import base64
import io
import re

import pytest
from bs4 import BeautifulSoup
from fontTools.ttLib import TTFont
from nbconvert_typst import ReportHTMLExporter, TypstPDFExporter
from nbformat.v4 import new_markdown_cell, new_notebook


def page_of(*sources: str, **metadata) -> BeautifulSoup:
    notebook = new_notebook(cells=[new_markdown_cell(source) for source in sources], metadata={"typst": metadata})
    return BeautifulSoup(ReportHTMLExporter().from_notebook_node(notebook)[0], "html.parser")


def test_a_heading_links_to_itself_and_its_text_stays():
    page = page_of("# One *and* two\n\n## $x$", facts=[["Date", "today"]])
    assert [heading.text for heading in page.select("h2")] == ["1 One and two"]
    anchors = page.select(".anchor")
    assert [anchor["href"] for anchor in anchors] == [f"#{anchor.parent['id']}" for anchor in anchors]
    assert anchors[0]["href"] == "#one-and-two"
    assert [anchor["aria-label"] for anchor in anchors] == ["Link to: 1 One and two", "Link to: 1.1 x"]


def test_a_line_of_the_title_block_may_have_an_address():
    facts = [["Commit", "1234567", "https://example.org/c?a=1&b"], ["Bad", "x", "javascript:alert(1)"]]
    page = page_of("Text.", facts=facts)
    assert [(link.text, link["href"]) for link in page.select("dd a")] == [("1234567", "https://example.org/c?a=1&b")]
    assert [line.text for line in page.select("dd")] == ["1234567", "x"]


@pytest.mark.parametrize(
    ("text", "name", "address"),
    [
        ("See arXiv:1901.05555, 2019.", "arXiv:1901.05555", "https://arxiv.org/abs/1901.05555"),
        ("*CVPR*, arXiv 1708.02002v2.", "arXiv 1708.02002v2", "https://arxiv.org/abs/1708.02002v2"),
        ("arXiv:hep-th/9901001", "arXiv:hep-th/9901001", "https://arxiv.org/abs/hep-th/9901001"),
        ("(doi:10.1109/5.771073)", "doi:10.1109/5.771073", "https://doi.org/10.1109/5.771073"),
    ],
)
def test_identifiers_of_publications_are_links(text, name, address):
    page = page_of(f"{text}\n\n`{name}` [{name}](https://example.org)")
    assert [(link.text, link["href"]) for link in page.select("a")] == [(name, address), (name, "https://example.org")]
    assert page.select_one("p").text == text.replace("*", "")


def test_several_identifiers_keep_the_text_between_them():
    page = page_of("One arXiv:1901.05555, **two** arXiv:1708.02002 and arXiv:1512.03385.")
    assert len(page.select("a")) == 3
    assert page.select_one("p").text == "One arXiv:1901.05555, two arXiv:1708.02002 and arXiv:1512.03385."


def test_what_folds_is_no_target_in_the_pdf(tmp_path):
    folded = new_markdown_cell('<span id="run-1">One</span>', metadata={"typst": {"kind": "details"}})
    notebook = new_notebook(cells=[new_markdown_cell("[run](#run-1)"), folded])
    page = BeautifulSoup(ReportHTMLExporter().from_notebook_node(notebook)[0], "html.parser")
    assert page.find(id=page.select_one("p a")["href"][1:]).text == "One"
    main, _ = TypstPDFExporter().write_project(tmp_path, notebook)
    source = main.read_text("utf-8")
    assert "run-1" not in source
    assert "One" not in source
    _, resources = TypstPDFExporter().from_notebook_node(notebook)
    assert resources["problems"] == []


def font_of(page: BeautifulSoup) -> TTFont:
    (data,) = re.findall(r"url\(data:font/woff;base64,([^)]+)\)", str(page))
    assert len(data) < 150_000
    return TTFont(io.BytesIO(base64.b64decode(data)))


def test_the_font_has_the_characters_of_the_formulas_and_no_others():
    font = font_of(page_of("Sum $\\sum_i x_i^{\\beta} \\in \\mathbb{R}$", "# On $\\Gamma$"))
    shown = {chr(code) for code in font.getBestCmap()}
    assert {"∑", "𝑥", "𝑖", "𝛽", "∈", "ℝ", "Γ"} <= shown
    assert "∏" not in shown
    assert "MATH" in font
    assert len(font.getGlyphOrder()) > len(shown) + 1  # the larger sum, too


def test_a_page_without_formulas_has_no_font():
    assert "data:font" not in str(page_of("Text."))
