"""nbconvert exporters that need neither LaTeX nor a browser: PDF through Typst, and HTML complete without a network."""

from nbconvert_typst.errors import ExportError, MissingDependencyError
from nbconvert_typst.html import ReportHTMLExporter
from nbconvert_typst.pdf import TypstPDFExporter

__version__ = "0.2.0"
__all__ = ["ExportError", "MissingDependencyError", "ReportHTMLExporter", "TypstPDFExporter"]
