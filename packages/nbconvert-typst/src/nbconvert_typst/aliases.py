"""The exporters under their names until version 0.1, on the command line only.

JupyterLab lists every exporter that is enabled, and its server accepts no hyphen in a name.
"""

from traitlets import default

from nbconvert_typst.command_line import running_nbconvert
from nbconvert_typst.html import ReportHTMLExporter
from nbconvert_typst.pdf import TypstPDFExporter


class TypstPDF(TypstPDFExporter):
    """`--to typst-pdf`, now `typst_pdf`."""

    @default("enabled")
    def _enabled_default(self) -> bool:
        return running_nbconvert() is not None


class ReportHTML(ReportHTMLExporter):
    """`--to report-html`, now `report_html`."""

    @default("enabled")
    def _enabled_default(self) -> bool:
        return running_nbconvert() is not None
