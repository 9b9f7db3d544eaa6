"""Both exporters the way `jupyter nbconvert` calls them."""

import subprocess
import sys

import nbformat
import pytest
from every_output import notebook


@pytest.mark.parametrize(("name", "suffix"), [("report-html", ".html"), ("typst-pdf", ".pdf")])
def test_nbconvert_knows_the_exporter_by_name(tmp_path, name, suffix):
    path = tmp_path / "plain.ipynb"
    nbformat.write(notebook(), path)
    command = [sys.executable, "-m", "jupyter", "nbconvert", "--to", name, "--no-input", str(path)]
    subprocess.run(command, check=True, capture_output=True, cwd=tmp_path)
    written = path.with_suffix(suffix).read_bytes()
    assert written.startswith(b"%PDF-" if suffix == ".pdf" else b"<!DOCTYPE html>")
    assert b"show-code" not in written.split(b"</style>")[-1]
