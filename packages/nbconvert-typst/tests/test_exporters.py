"""The exporters on any notebook, the way `jupyter nbconvert` calls them."""

import base64
import importlib
import io
import json
import subprocess
import sys

import nbformat
import pytest
from bs4 import BeautifulSoup
from nbconvert.exporters import get_export_names
from nbconvert_typst import MissingDependencyError, ReportHTMLExporter, TypstPDFExporter, pandoc
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output, new_raw_cell
from PIL import Image

MARKDOWN = """# A heading: 5 < 6 & "quotes" #hash @at *all* <here>

Costs $5 and `a_b`; ![local](attachment:my%20dot.png) ![away](https://example.org/x.png) [gone](other.ipynb)

```python
print("\\(no formula\\)")  # <b>
```

Broken formula $\\foo{x}$, <b>bold</b><br>new line<script>alert(1)</script>

| a | b |
|---|---|
| x | 1 |
"""


def dot(image_format: str) -> str:
    Image.new("RGB", (4, 4), "red").save(buffer := io.BytesIO(), format=image_format)
    return base64.b64encode(buffer.getvalue()).decode()


def display(**data: str):
    return new_output("display_data", data={kind.replace("__", "/"): value for kind, value in data.items()})


@pytest.fixture
def notebook():
    text = new_markdown_cell(MARKDOWN)
    text["attachments"] = {"my dot.png": {"image/png": dot("png")}}
    outputs = [
        new_output("stream", name="stdout", text='say "hi" \\ #let\n10 %\r100 %\n'),
        new_output("stream", name="stderr", text="\x1b[33ma warning\x1b[0m\n"),
        new_output("error", ename="ValueError", evalue="no", traceback=["\x1b[31mValueError\x1b[0m: no"]),
        display(image__png=dot("png"), text__plain="<Figure>"),
        display(image__jpeg=dot("jpeg")),
        display(text__latex=r"$\displaystyle \frac{1}{2}$", text__plain="1/2"),
        display(text__html="<div><style>td {}</style><table><tr><td>5</td></tr></table></div>"),
        display(text__html='<script src="https://example.org/x.js"></script><p>kept</p>'),
        display(text__markdown="*generated*"),
        new_output("execute_result", data={"text/plain": "42"}, execution_count=1),
    ]
    cells = [text, new_raw_cell("raw"), new_code_cell("x = '$%#'\nx", outputs=outputs), new_code_cell("")]
    return new_notebook(cells=cells, metadata={"language_info": {"name": "python"}})


def test_every_kind_of_output_is_in_the_html(notebook):
    html, _ = ReportHTMLExporter().from_notebook_node(notebook)
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


def test_every_kind_of_output_is_in_the_pdf(notebook, tmp_path):
    typst = pytest.importorskip("typst")
    main, _ = TypstPDFExporter().write_project(tmp_path, notebook)

    def query(selector):
        return json.loads(typst.query(main, selector, root=tmp_path))

    texts = [element["text"] for element in query("raw.where(block: true)")]
    assert 'print("\\(no formula\\)")  # <b>' in texts
    assert 'say "hi" \\ #let\n100 %' in texts
    assert "x = '$%#'\nx" in texts
    assert "ValueError: no" in texts
    assert len(query("image")) == 3
    assert len(query("table")) == 2
    assert [heading["level"] for heading in query("heading")] == [1]
    assert not query("figure")
    assert typst.compile(main, root=tmp_path).startswith(b"%PDF-")


def test_a_picture_beside_the_notebook_is_taken_along(tmp_path):
    (tmp_path / "dot.png").write_bytes(base64.b64decode(dot("png")))
    path = tmp_path / "plain.ipynb"
    nbformat.write(new_notebook(cells=[new_markdown_cell("![a dot](dot.png)")]), path)
    html, _ = ReportHTMLExporter().from_filename(str(path))
    assert f"data:image/png;base64,{dot('png')}" in html
    pdf, _ = TypstPDFExporter().from_filename(str(path))
    assert pdf.startswith(b"%PDF-")


def test_a_table_of_many_columns_stays_on_the_page(tmp_path):
    typst = pytest.importorskip("typst")
    cells = "".join(f"<td>column number {n}</td>" for n in range(25))
    table = display(text__html=f"<table><tr>{cells}</tr></table>")
    notebook = new_notebook(cells=[new_code_cell("t", outputs=[table])])
    main, _ = TypstPDFExporter().write_project(tmp_path, notebook)
    assert json.loads(typst.query(main, "<shrunk>", root=tmp_path))


@pytest.mark.parametrize(("name", "suffix"), [("report-html", ".html"), ("typst-pdf", ".pdf")])
def test_nbconvert_knows_the_exporter_by_name(notebook, tmp_path, name, suffix):
    path = tmp_path / "plain.ipynb"
    nbformat.write(notebook, path)
    command = [sys.executable, "-m", "jupyter", "nbconvert", "--to", name, "--no-input", str(path)]
    subprocess.run(command, check=True, capture_output=True, cwd=tmp_path)
    written = path.with_suffix(suffix).read_bytes()
    assert written.startswith(b"%PDF-" if suffix == ".pdf" else b"<!DOCTYPE html>")
    assert b"show-code" not in written.split(b"</style>")[-1]


@pytest.mark.parametrize(("module", "wheel"), [("typst", "typst"), ("pypandoc", "pypandoc_binary")])
def test_a_missing_wheel_is_named_and_the_listing_still_works(monkeypatch, module, wheel):
    def missing(name):
        if name == module:
            raise ImportError(name)
        return importlib.import_module(name)

    monkeypatch.setattr(pandoc, "import_module", missing)
    with pytest.raises(MissingDependencyError, match=f"pip install {wheel}"):
        TypstPDFExporter().from_notebook_node(new_notebook(cells=[new_markdown_cell("text")]))
    assert {"typst-pdf", "report-html"} <= set(get_export_names())
