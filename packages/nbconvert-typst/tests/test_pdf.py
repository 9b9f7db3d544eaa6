"""TypstPDFExporter on any notebook."""

import json

import typst
from every_output import notebook
from nbconvert_typst import TypstPDFExporter
from nbformat.v4 import new_notebook


def test_every_kind_of_output_is_in_the_pdf(tmp_path):
    exporter = TypstPDFExporter()
    main, _ = exporter.write_project(tmp_path, notebook())
    assert exporter.reading.problems == ["cell 1: formula: unknown command \\foo"]

    def query(selector):
        return json.loads(typst.query(main, selector, root=tmp_path))

    texts = [element["text"] for element in query("raw")]
    assert 'print("\\(no formula\\)")  # <b>' in texts
    assert 'say "hi" \\ #let\n100 %' in texts
    assert "x = '$%#'\nx" in texts
    assert "ValueError" in texts
    assert len(query("image")) == 3
    assert len(query("table")) == 2
    assert [heading["level"] for heading in query("heading")] == [1]
    assert not query("figure")
    assert typst.compile(main, root=tmp_path).startswith(b"%PDF-")


def test_the_code_is_left_out_on_request(tmp_path):
    shown, _ = TypstPDFExporter().write_project(tmp_path, notebook())
    assert "x = '$%#'" in shown.read_text(encoding="utf-8")
    hidden, _ = TypstPDFExporter(show_code=False).write_project(tmp_path, notebook())
    assert "x = '$%#'" not in hidden.read_text(encoding="utf-8")


def test_an_empty_notebook_is_a_pdf():
    pdf, _ = TypstPDFExporter().from_notebook_node(new_notebook())
    assert pdf.startswith(b"%PDF-")
