"""Both exporters the way `jupyter nbconvert` and nbconvert's other users call them."""

import json
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from every_output import notebook
from nbconvert.exporters import get_export_names, get_exporter
from nbconvert_typst import ReportHTMLExporter, TypstPDFExporter
from nbformat.v4 import new_markdown_cell, new_notebook


def nbconvert(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "jupyter", "nbconvert", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder)


@pytest.mark.parametrize(
    ("name", "suffix"),
    [("report_html", ".html"), ("typst_pdf", ".pdf"), ("report-html", ".html"), ("typst-pdf", ".pdf")],
)
def test_nbconvert_knows_the_exporter_by_name(tmp_path, name, suffix):
    path = tmp_path / "plain.ipynb"
    nbformat.write(notebook(), path)
    done = nbconvert(tmp_path, "--to", name, "--no-input", path.name)
    assert done.returncode == 0, done.stderr
    written = path.with_suffix(suffix).read_bytes()
    assert written.startswith(b"%PDF-" if suffix == ".pdf" else b"<!DOCTYPE html>")
    assert b"show-code" not in written.split(b"</style>")[-1]


def test_the_exporters_are_found_by_the_names_that_jupyters_server_accepts():
    assert get_exporter("typst_pdf") is TypstPDFExporter
    assert get_exporter("report_html") is ReportHTMLExporter
    ours = {name for name in get_export_names() if "typst" in name or "report" in name}
    assert ours == {"typst_pdf", "report_html"}


def test_what_was_replaced_is_named_on_stderr_one_line_each(tmp_path):
    cells = [new_markdown_cell("Fine."), new_markdown_cell("Take $x_1_2$."), new_markdown_cell("![](gone.png)")]
    nbformat.write(new_notebook(cells=cells), tmp_path / "some.ipynb")
    done = nbconvert(tmp_path, "--to", "typst_pdf", "some.ipynb")
    assert done.returncode == 0
    warned = [line for line in done.stderr.splitlines() if "WARNING" in line]
    assert [line.split("WARNING | ")[1].split(": ")[0] for line in warned] == ["some, cell 2", "some, cell 3"]
    strict = nbconvert(tmp_path, "--to", "typst_pdf", "--TypstPDFExporter.strict=True", "some.ipynb")
    assert strict.returncode == 1
    assert "Traceback" not in strict.stderr


def test_a_notebook_that_fails_does_not_stop_the_others(tmp_path):
    (tmp_path / "broken.ipynb").write_text("{")
    (tmp_path / "invalid.ipynb").write_text(json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {}}))
    nbformat.write(notebook(), tmp_path / "good.ipynb")
    (tmp_path / "folder.pdf").mkdir()
    nbformat.write(notebook(), tmp_path / "folder.ipynb")
    done = nbconvert(tmp_path, "--to", "typst_pdf", "broken.ipynb", "invalid.ipynb", "folder.ipynb", "good.ipynb")
    assert done.returncode == 1
    assert (tmp_path / "good.pdf").read_bytes().startswith(b"%PDF-")
    assert "Traceback" not in done.stderr
    for name in ("broken.ipynb was not converted", "invalid.ipynb was not converted", "folder.ipynb was not written"):
        assert done.stderr.count(name) == 1


def test_other_exporters_fail_as_before(tmp_path):
    (tmp_path / "broken.ipynb").write_text("{")
    assert nbconvert(tmp_path, "--to", "html", "broken.ipynb").returncode == 1
