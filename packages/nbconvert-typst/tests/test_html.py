"""ReportHTMLExporter on any notebook."""

from bs4 import BeautifulSoup
from every_output import notebook
from nbconvert_typst import ReportHTMLExporter


def test_every_kind_of_output_is_in_the_html():
    html, _ = ReportHTMLExporter().from_notebook_node(notebook())
    page = BeautifulSoup(html, "html.parser")
    assert [pre.text for pre in page.select("pre.output, pre.error")] == [
        'say "hi" \\ #let\n100 %',
        "a warning",
        "ValueError: no",
        "42",
    ]
    assert len(page.select("img")) == 3
    assert len(page.select("table")) == 2
    assert page.select_one("mfrac")
    assert page.select_one("#show-code").has_attr("checked")
    assert not page.select("script, style[scoped], figure, nav, header")
    assert "picture not included: https://example.org/x.png, away" in page.text
    assert "kept" in page.text
    assert r"\(no formula\)" in page.text
