"""ReportHTMLExporter on any notebook."""

import base64

import nbformat
from bs4 import BeautifulSoup
from every_output import dot, notebook
from nbconvert_typst import ReportHTMLExporter
from nbformat.v4 import new_markdown_cell, new_notebook


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
    assert "picture not included: away, example.org/x.png" in page.text
    assert "kept" in page.text
    assert r"\(no formula\)" in page.text


def test_a_picture_beside_the_notebook_is_taken_along(tmp_path):
    (tmp_path / "dot.png").write_bytes(base64.b64decode(dot("png")))
    path = tmp_path / "plain.ipynb"
    nbformat.write(new_notebook(cells=[new_markdown_cell("![a dot](dot.png)")]), path)
    html, _ = ReportHTMLExporter().from_filename(str(path))
    assert f"data:image/png;base64,{dot('png')}" in html
