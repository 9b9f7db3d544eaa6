"""Base class of the HTML and the PDF exporter."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import nbformat
from jinja2 import pass_context
from lxml import etree
from lxml.html import HtmlElement
from nbconvert.exporters import TemplateExporter
from nbformat import NotebookNode, ValidationError
from nbformat.reader import NotJSONError
from traitlets import Bool, Unicode, default
from traitlets.config import Config

from nbconvert_typst.captions import Captions
from nbconvert_typst.cells import NUMBER, CellReader, Wanted
from nbconvert_typst.cleaning import is_safe_link
from nbconvert_typst.command_line import go_on_after_failures, running_nbconvert
from nbconvert_typst.errors import ExportError
from nbconvert_typst.formulas import Typesetter
from nbconvert_typst.reading import Reading
from nbconvert_typst.structure import resolve

#: Elements of MathML that hold text.
_TOKENS = {"mi", "mn", "mo", "ms", "mtext", "annotation", "annotation-xml"}
TEMPLATES = Path(__file__).parent / "templates"


def _tags(name: str) -> set[str]:
    return {name, name.replace("-", "_")}


def _numbered(notebook: NotebookNode) -> NotebookNode:
    """Return a copy whose cells know their number, and in which every character can be written."""
    text = json.dumps(notebook, ensure_ascii=False).encode("utf-8", "replace").decode()
    copy = nbformat.from_dict(json.loads(text))
    for number, cell in enumerate(copy.get("cells", []), 1):
        cell.metadata[NUMBER] = {"number": number}
    return copy


def _facts(noted: Any) -> list[tuple[str, str, str]]:
    """Return the lines of the title block that the notebook's metadata ask for: name, value, address or ""."""
    facts = noted.get("facts") if isinstance(noted, dict) else None
    pairs = facts if isinstance(facts, list) else []
    lines = [[*map(str, pair), ""] for pair in pairs if isinstance(pair, list) and len(pair) in (2, 3)]
    return [(name, value, address if is_safe_link(address) else "") for name, value, address, *_ in lines]


def _check(math: HtmlElement) -> None:
    """Raise ValueError where MathML has text or rows outside the elements for them; a writer would lose them."""
    for node in math.iter(etree.Element):
        texts = [node.text, *(child.tail for child in node)]
        if node.tag not in _TOKENS and any(text and text.strip() for text in texts):
            raise ValueError("text outside a token")
        if node.tag == "mtable" and any(child.tag not in ("mtr", "mlabeledtr") for child in node):
            raise ValueError("a table without rows")


class BlockExporter(TemplateExporter):
    """Turns a notebook into blocks that are read already, for a template to lay out.

    A notebook whose metadata ask for it gets a title block, a table of contents, numbered headings, and numbered
    figures and tables (README, "A report of your own"); any other notebook is exported as it is.
    """

    metadata_key = Unicode(
        "typst", help="Key of the notebook, cell and output metadata that these exporters read."
    ).tag(config=True)
    show_code = Bool(True, help="Show code cells; in HTML a switch on the page changes it.").tag(config=True)
    show_prompts = Bool(False, help="Show In [1]: and Out [1]: beside code and results.").tag(config=True)
    strict = Bool(
        False,
        help="An item that cannot be converted (a formula, a picture) is an error; else it is replaced by a note.",
    ).tag(config=True)

    #: MIME types of raw cells that go into the output, besides those of no type.
    raw_types: ClassVar[tuple[str, ...]] = ()

    def __init__(self, config: Config | None = None, **kw: Any) -> None:
        super().__init__(config=config, **kw)
        go_on_after_failures(BlockExporter)

    @default("template_name")
    def _template_name_default(self) -> str:
        return "report"

    @default("extra_template_basedirs")
    def _default_extra_template_basedirs(self) -> list[str]:
        return [str(TEMPLATES)]

    @property
    def default_config(self) -> Config:
        """nbconvert's defaults, with the usual tags of cells honoured."""
        config = super().default_config
        config.merge(
            Config(
                {
                    "TagRemovePreprocessor": {
                        "enabled": True,
                        "remove_cell_tags": _tags("remove-cell"),
                        "remove_all_outputs_tags": _tags("remove-output"),
                        "remove_input_tags": _tags("remove-input"),
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
        """For the template: `blocks`, `headings`, `title`, `show_code`, and `facts` (empty for a plain notebook)."""
        metadata = context["resources"].get("metadata", {})
        facts = _facts(notebook.metadata.get(self.metadata_key))
        captions = Captions()
        self.reading = Reading(Path(metadata["path"]) if "path" in metadata else None)
        blocks = CellReader(notebook, self.reading, captions, self._wanted(), self.metadata_key).blocks()
        self._set_formulas()
        headings = resolve(self.reading.trees, captions.anchors, bool(facts))
        return {
            "blocks": blocks,
            "headings": headings,
            "title": str(notebook.metadata.get("title") or metadata.get("name") or "Notebook"),
            "facts": facts,
            "show_code": self.show_code,
        }

    def from_notebook_node(
        self, nb: NotebookNode, resources: dict[str, Any] | None = None, **kw: Any
    ) -> tuple[Any, dict[str, Any]]:
        """Export a notebook; log a line for each item that was replaced, or raise ExportError with them if `strict`."""
        output, resources = self.checked_export(nb, resources, **kw)
        self.report_problems(nb, resources)
        return output, resources

    def checked_export(
        self, nb: NotebookNode, resources: dict[str, Any] | None = None, **kw: Any
    ) -> tuple[str, dict[str, Any]]:
        """Fill the template; raise ExportError where the notebook is not valid or cannot be converted at all."""
        try:
            return super().from_notebook_node(_numbered(nb), resources, **kw)
        except ExportError:
            raise
        except ValidationError as error:
            raise ExportError(f"the notebook is not valid: {str(error).splitlines()[0]}") from error
        except Exception as error:  # the other notebooks of a call go on
            raise ExportError(f"the notebook cannot be converted: {error!r}") from error

    def from_file(
        self, file_stream: Any, resources: dict[str, Any] | None = None, **kw: Any
    ) -> tuple[Any, dict[str, Any]]:
        """Export the notebook of a file; raise ExportError where it holds none."""
        try:
            notebook = nbformat.read(file_stream, as_version=4)
        except (NotJSONError, ValidationError, AttributeError, KeyError, TypeError, ValueError) as error:
            raise ExportError(f"not a notebook: {(str(error) or repr(error)).splitlines()[0]}") from error
        return self.from_notebook_node(notebook, resources, **kw)

    def report_problems(self, nb: NotebookNode, resources: dict[str, Any]) -> None:
        """Say once which items could not be converted, and leave it in `resources["problems"]`."""
        numbers = {problem: re.match(r"cell (\d+)", problem) for problem in self.reading.problems}
        problems = sorted(numbers, key=lambda problem: int(numbers[problem][1]) if numbers[problem] else len(nb.cells))
        if problems and self.strict and running_nbconvert() is None:  # which writes the document and ends with status 1
            raise ExportError("\n".join(["Some items could not be converted.", *problems]))
        resources["problems"] = problems
        name = resources.get("metadata", {}).get("name", "notebook")
        for problem in problems:
            self.log.warning("%s, %s", name, problem)

    def each_formula(self, use: Callable[[HtmlElement], None]) -> None:
        """Call `use` with every <math>; one that it fails on is replaced by its source."""
        for tree in self.reading.trees:
            for formula in list(tree.iter("math")):
                try:
                    _check(formula)
                    use(formula)
                except Exception as error:  # MathML that the notebook brings may have any form
                    self.reading.problem(f"formula shown as source: {error!r}", tree.get("data-place"))
                    source = formula.get("alttext") or " ".join("".join(formula.itertext()).split())
                    formula.clear(keep_tail=True)
                    formula.tag, formula.text = "code", source

    def _wanted(self) -> Wanted:
        return Wanted(
            code=not self.exclude_code_cell,
            markdown=not self.exclude_markdown,
            raw=not self.exclude_raw,
            unknown=not self.exclude_unknown,
            input=self.wants_code,
            output=not self.exclude_output,
            prompts=self.show_prompts,
            folded=self.wants_folded,
            raw_mimetypes=self.raw_types,
        )

    @property
    def wants_code(self) -> bool:
        """The source of code cells goes into the output."""
        return not self.exclude_input

    @property
    def wants_folded(self) -> bool:
        """Cells that fold go into the output."""
        return True

    def _set_formulas(self) -> None:
        """Typeset all formulas in order, as a macro holds from its definition on, and put each in its place."""
        waiting = self.reading.formulas
        typesetter = Typesetter()
        for (element, _, place), done in zip(
            waiting, typesetter.typeset([formula for _, formula, _ in waiting]), strict=True
        ):
            math = done.element
            for node in math.iter(etree.Element):
                node.tag = etree.QName(node).localname  # as in HTML
                node.attrib.pop("src", None)  # of \mmlToken{mglyph}, which would be loaded
            math.tail = element.tail
            element.getparent().replace(element, math)
            if done.problem:
                self.reading.problem(f"formula: {done.problem}", place)
