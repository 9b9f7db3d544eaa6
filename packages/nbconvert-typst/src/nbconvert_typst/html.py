"""One HTML file that is complete without a network."""

import re
from typing import Any

from jinja2 import pass_context
from nbconvert.exporters import HTMLExporter
from nbformat import NotebookNode

from nbconvert_typst.base import BlockExporter
from nbconvert_typst.pandoc import Image

_MEDIA = re.compile(r'(?<=<img src=")media-\d+\.\w+(?=")')


class ReportHTMLExporter(BlockExporter, HTMLExporter):
    """`jupyter nbconvert --to report-html`: formulas as MathML, pictures inside, no URL that is loaded."""

    export_from_notebook = "HTML report"
    markup = "html"

    @pass_context
    def compose(self, context: Any, notebook: NotebookNode) -> dict[str, Any]:
        document = super().compose(context, notebook)
        images: dict[str, Image] = document["images"]
        document["embed"] = lambda html: _MEDIA.sub(lambda name: images[name[0]].data_uri(), html)
        return document
