"""Base class of the HTML and the PDF exporter."""

from pathlib import Path
from typing import Any, Literal

from jinja2 import pass_context
from nbconvert.exporters import TemplateExporter
from nbformat import NotebookNode
from traitlets import Bool, Unicode, default
from traitlets.config import Config

from nbconvert_typst.blocks import blocks_of, markups_of
from nbconvert_typst.captions import Captions
from nbconvert_typst.pandoc import convert

TEMPLATES = Path(__file__).parent / "templates"


class BlockExporter(TemplateExporter):
    """Turns a notebook into blocks that are rendered already, for a template to lay out.

    A notebook whose metadata ask for it gets a title block, a table of contents, numbered headings, and numbered
    figures and tables (README, "A report of your own"); any other notebook is exported as it is.
    """

    metadata_key = Unicode(
        "typst", help="Key of the notebook, cell and output metadata that these exporters read."
    ).tag(config=True)

    show_code = Bool(True, help="Show code cells; in HTML a switch on the page changes it.").tag(config=True)
    #: The markup that pandoc writes for the template.
    markup: Literal["html", "typst"]

    @default("template_name")
    def _template_name_default(self) -> str:
        return "report"

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
        facts = notebook.metadata.get(self.metadata_key, {}).get("facts", [])
        captions = Captions()
        blocks = blocks_of(notebook, captions, code=self.wants_code, key=self.metadata_key)
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
        """The source of code cells goes into the output."""
        return not self.exclude_input
