"""Access to the programs behind the exporters: a missing one is reported as an error of the package."""

import importlib

import pytest
from nbconvert.exporters import get_export_names
from nbconvert.utils.exceptions import ConversionException
from nbconvert_typst import ExportError, MissingDependencyError, TypstPDFExporter, tools
from nbformat.v4 import new_markdown_cell, new_notebook


@pytest.mark.parametrize(("module", "wheel"), [("typst", "typst"), ("quickjs", "quickjs-ng")])
def test_a_missing_wheel_is_named_and_the_listing_still_works(monkeypatch, module, wheel):
    def missing(name):
        if name == module:
            raise ImportError(name)
        return importlib.import_module(name)

    monkeypatch.setattr(tools, "import_module", missing)
    with pytest.raises(MissingDependencyError, match=f"pip install {wheel}"):
        TypstPDFExporter().from_notebook_node(new_notebook(cells=[new_markdown_cell("text $x$")]))
    assert {"typst_pdf", "report_html"} <= set(get_export_names())


def test_nbconvert_knows_the_errors():
    assert issubclass(ExportError, ConversionException)
    assert issubclass(MissingDependencyError, ExportError)
