"""One HTML file that is complete without a network."""

import warnings
from itertools import chain, count
from typing import Any

from jinja2 import pass_context
from lxml.html import HtmlElement
from nbconvert.exporters import HTMLExporter
from nbformat import NotebookNode
from pygments.formatters import HtmlFormatter

from nbconvert_typst.base import BlockExporter
from nbconvert_typst.html_markup import inner_html
from nbconvert_typst.math_font import subset
from nbconvert_typst.mathml_core import characters, for_browsers
from nbconvert_typst.tools import pdf_to_svg


class ReportHTMLExporter(BlockExporter, HTMLExporter):
    """`jupyter nbconvert --to report_html`: formulas as MathML, pictures inside, no address that is loaded."""

    export_from_notebook = "HTML report"
    raw_types = ("text/html",)

    def checked_export(
        self, nb: NotebookNode, resources: dict[str, Any] | None = None, **kw: Any
    ) -> tuple[str, dict[str, Any]]:
        with warnings.catch_warnings():
            # Of a language that Pygments does not know, or of IPython's own where that is not installed.
            warnings.filterwarnings("ignore", message=".*lexer.*")
            return super().checked_export(nb, resources, **kw)

    @pass_context
    def compose(self, context: Any, notebook: NotebookNode) -> dict[str, Any]:
        document = super().compose(context, notebook)
        self.each_formula(for_browsers)
        formulas = [formula for tree in self.reading.trees for formula in tree.iter("math")]
        for heading in document["headings"]:
            for formula in heading.element.iter("math"):
                for_browsers(formula)
                formulas.append(formula)
        document["math_font"] = subset(chain.from_iterable(map(characters, formulas))) if formulas else ""
        document["dark_code"] = HtmlFormatter(style="github-dark").get_style_defs(".highlight")
        shift = 1 if document["facts"] else 0
        unnumbered = count(1)

        def html(element: HtmlElement, name: str = "") -> str:
            return inner_html(
                element, self._address, shift, lambda: f"{name or f'unnumbered-table-{next(unnumbered)}'}.csv"
            )

        document["html"] = html
        document["inline"] = self._inline
        document["address"] = self._address
        return document

    def _inline(self, tree: HtmlElement) -> str:
        """A single paragraph without its element, as a caption needs it."""
        paragraph = tree[0] if len(tree) == 1 and tree[0].tag == "p" else tree
        return inner_html(paragraph, self._address)

    def _address(self, name: str) -> str:
        picture = self.reading.pictures[name]
        return pdf_to_svg(picture.data) if picture.suffix == "pdf" else picture.data_uri()
