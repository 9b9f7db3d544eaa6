"""TypstPDFExporter on any notebook."""

import base64
import json

import nbformat
import pytest
import typst
from every_output import display, dot, notebook
from nbconvert_typst import ExportError, TypstPDFExporter
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook


def test_every_kind_of_output_is_in_the_pdf(tmp_path):
    main, _ = TypstPDFExporter().write_project(tmp_path, notebook())

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
    pdf, _ = TypstPDFExporter().from_filename(str(path))
    assert pdf.startswith(b"%PDF-")


def test_a_table_of_many_columns_stays_on_the_page(tmp_path):
    cells = "".join(f"<td>column number {n}</td>" for n in range(25))
    table = display(text__html=f"<table><tr>{cells}</tr></table>")
    wide = new_notebook(cells=[new_code_cell("t", outputs=[table])])
    main, _ = TypstPDFExporter().write_project(tmp_path, wide)
    assert json.loads(typst.query(main, "<shrunk>", root=tmp_path))


def test_the_code_is_left_out_on_request(tmp_path):
    shown, _ = TypstPDFExporter().write_project(tmp_path, notebook())
    assert "x = '$%#'" in shown.read_text(encoding="utf-8")
    hidden, _ = TypstPDFExporter(show_code=False).write_project(tmp_path, notebook())
    assert "x = '$%#'" not in hidden.read_text(encoding="utf-8")


def test_what_typst_cannot_typeset_is_an_error_of_the_package():
    broken = new_notebook(cells=[new_code_cell("p", outputs=[display(image__png="AAAA")])])
    with pytest.raises(ExportError, match=r"Typst could not typeset.*image"):
        TypstPDFExporter().from_notebook_node(broken)
