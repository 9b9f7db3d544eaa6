"""nbconvert exporters that need neither LaTeX nor a browser: PDF through Typst, and HTML complete without a network."""

from nbconvert_typst.errors import MissingDependencyError
from nbconvert_typst.html import ReportHTMLExporter
from nbconvert_typst.pdf import TypstPDFExporter

__version__ = "0.1.0"
__all__ = ["MissingDependencyError", "ReportHTMLExporter", "TypstPDFExporter"]
