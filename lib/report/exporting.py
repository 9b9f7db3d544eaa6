"""What the HTML and the PDF exporter share."""

from pathlib import Path
from typing import Any, Literal

from jinja2 import pass_context
from nbconvert.exporters import TemplateExporter
from nbformat import NotebookNode
from traitlets import Bool, default
from traitlets.config import Config

from lib.report.blocks import blocks_of, markups_of
from lib.report.captions import Captions
from lib.report.pandoc import convert

TEMPLATES = Path(__file__).parent / "templates"


class WriteupExporter(TemplateExporter):
    """Turns a notebook into blocks that are rendered already, for a template to lay out.

    A notebook that `lib.report.document.assemble` made gets a title block, a table of contents and numbered
    headings; any other notebook is exported as it is.
    """

    show_code = Bool(True, help="Whether code cells are shown; in HTML a switch on the page changes it.").tag(
        config=True
    )
    #: The markup that pandoc writes for the template.
    markup: Literal["html", "typst"]

    @default("template_name")
    def _template_name_default(self) -> str:
        return "writeup"

    @default("extra_template_basedirs")
    def _default_extra_template_basedirs(self) -> list[str]:
        return [str(TEMPLATES)]

    @property
    def default_config(self) -> Config:
        """nbconvert's defaults, with the three usual tags of cells honoured."""
        config = super().default_config
        config.merge(
            Config(
                {
                    "TagRemovePreprocessor": {
                        "enabled": True,
                        "remove_cell_tags": {"remove-cell"},
                        "remove_all_outputs_tags": {"remove-output"},
                        "remove_input_tags": {"remove-input"},
                    },
                    "CoalesceStreamsPreprocessor": {"enabled": True},
                }
            )
        )
        return config

    def default_filters(self):
        yield from super().default_filters()
        yield "compose", self.compose

    @pass_context
    def compose(self, context: Any, notebook: NotebookNode) -> dict[str, Any]:
        """For the template: `blocks`, `headings`, `images`, `title`, `show_code`, and
        `facts` (empty for a plain notebook)."""
        metadata = context["resources"].get("metadata", {})
        facts = notebook.metadata.get("writeup", {}).get("facts", [])
        captions = Captions()
        blocks = blocks_of(notebook, captions, code=self.wants_code)
        converted = convert(
            markups_of(blocks),
            self.markup,
            anchors=captions.anchors,
            folder=Path(metadata.get("path") or "."),
            numbered=bool(facts),
            shift=1 if facts and self.markup == "html" else 0,
        )
        return {
            "blocks": blocks,
            "headings": converted.headings,
            "images": converted.images,
            "title": notebook.metadata.get("title") or metadata.get("name") or "Notebook",
            "facts": facts,
            "show_code": self.show_code,
        }

    @property
    def wants_code(self) -> bool:
        """Whether the source of code cells goes into the output at all."""
        return not self.exclude_input
