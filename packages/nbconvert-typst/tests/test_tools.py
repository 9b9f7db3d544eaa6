"""Access to pandoc and Typst: a missing or failing one is reported as an error of the package."""

import importlib

import pytest
from nbconvert.exporters import get_export_names
from nbconvert.utils.exceptions import ConversionException
from nbconvert_typst import ExportError, MissingDependencyError, TypstPDFExporter, tools
from nbformat.v4 import new_markdown_cell, new_notebook


@pytest.mark.parametrize(("module", "wheel"), [("typst", "typst"), ("pypandoc", "pypandoc_binary")])
def test_a_missing_wheel_is_named_and_the_listing_still_works(monkeypatch, module, wheel):
    def missing(name):
        if name == module:
            raise ImportError(name)
        return importlib.import_module(name)

    monkeypatch.setattr(tools, "import_module", missing)
    with pytest.raises(MissingDependencyError, match=f"pip install {wheel}"):
        TypstPDFExporter().from_notebook_node(new_notebook(cells=[new_markdown_cell("text")]))
    assert {"typst-pdf", "report-html"} <= set(get_export_names())


def test_nbconvert_knows_the_errors():
    assert issubclass(ExportError, ConversionException)
    assert issubclass(MissingDependencyError, ExportError)


def test_a_failing_script_is_named_with_its_reason(tmp_path):
    (tmp_path / "broken.lua").write_text('error("no luck")')
    with pytest.raises(ExportError, match=r"(?s)pandoc could not convert.*no luck"):
        tools.run_pandoc(tmp_path / "broken.lua", {})
