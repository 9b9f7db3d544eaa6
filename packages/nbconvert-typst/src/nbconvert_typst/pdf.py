"""PDF without LaTeX or a browser: the blocks as Typst, which the `typst` wheel typesets."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from jinja2 import pass_context
from lxml.html import HtmlElement
from nbformat import NotebookNode
from traitlets import Bool, List, Unicode, default

from nbconvert_typst.base import BlockExporter
from nbconvert_typst.errors import ExportError
from nbconvert_typst.glyphs import missing_characters
from nbconvert_typst.project import Project
from nbconvert_typst.tools import Typst
from nbconvert_typst.typst_markup import inner_typst, picture, runs
from nbconvert_typst.typst_math import anchors_of, typst_math
from nbconvert_typst.typst_text import code_text, length, literal, parts

_FONTS = 'install "nbconvert-typst[fonts]" for Chinese, Japanese, Korean, Thai, Arabic, Devanagari, or set font_paths'


class TypstPDFExporter(BlockExporter):
    """`jupyter nbconvert --to typst_pdf`, for any notebook. Vector figures stay vectors."""

    export_from_notebook = "PDF via Typst"
    output_mimetype = "application/pdf"
    raw_types = ("text/typst", "text/x-typst")

    font_paths = List(Unicode(), help="Folders with fonts, besides those of the system and of the typst wheel.").tag(
        config=True
    )
    show_addresses = Bool(False, help="Print the address of a link behind its text, for a document on paper.").tag(
        config=True
    )

    @default("file_extension")
    def _file_extension_default(self) -> str:
        return ".pdf"

    @default("template_extension")
    def _template_extension_default(self) -> str:
        return ".typ.j2"

    @property
    def wants_code(self) -> bool:
        return self.show_code and super().wants_code

    @property
    def wants_folded(self) -> bool:
        return False

    def default_filters(self):
        yield from super().default_filters()
        yield "literal", literal
        yield "length", length
        yield "runs", runs
        yield "parts", parts
        yield "code_text", code_text

    def from_notebook_node(
        self, nb: NotebookNode, resources: dict[str, Any] | None = None, **kw: Any
    ) -> tuple[bytes, dict[str, Any]]:
        """Return the PDF's bytes. A block that Typst rejects is shown as text; ExportError where all of it fails."""
        try:
            pdf, resources = self._typeset(nb, resources, **kw)
        except OSError as error:
            raise ExportError(f"the files for Typst could not be written: {error}") from error
        self.report_problems(nb, resources)
        return pdf, resources

    def _typeset(self, nb: NotebookNode, resources: dict[str, Any] | None, **kw: Any) -> tuple[bytes, dict[str, Any]]:
        with TemporaryDirectory(prefix="typst-pdf-") as folder:
            project, resources = self._project(Path(folder), nb, resources, **kw)
            typst = Typst(Path(folder), self.font_paths)
            pdf = project.pdf(typst)
            if missing := missing_characters(typst, project.main):
                self.reading.problems.append(f"no font has these characters: {missing} ({_FONTS})")
        return pdf, resources

    def write_project(
        self, folder: Path, nb: NotebookNode, resources: dict[str, Any] | None = None, **kw: Any
    ) -> tuple[Path, dict[str, Any]]:
        """Write the Typst project (main.typ, its style, one file per picture) into `folder`; main.typ's path."""
        project, resources = self._project(folder, nb, resources, **kw)
        return project.main, resources

    def _project(
        self, folder: Path, nb: NotebookNode, resources: dict[str, Any] | None, **kw: Any
    ) -> tuple[Project, dict[str, Any]]:
        source, resources = self.checked_export(nb, resources, **kw)
        return Project(folder, source, self.reading, self._texts), resources

    @pass_context
    def compose(self, context: Any, notebook: NotebookNode) -> dict[str, Any]:
        document = super().compose(context, notebook)
        anchors = anchors_of(formula for tree in self.reading.trees for formula in tree.iter("math"))
        self.each_formula(lambda formula: formula.set("data-typst", typst_math(formula, anchors)))
        for tree in self.reading.trees:
            self._prepare(tree)
        self._texts = [_text_of(block) for block in document["blocks"]]
        document["typst"] = self._typst_of
        document["picture"] = lambda block: picture(block.name, block.alt, block.width, block.height, block.data.pixels)
        return document

    def _typst_of(self, tree: HtmlElement) -> str:
        try:
            return inner_typst(tree)
        except Exception as error:  # one item must never end the document
            reason = "nested too deeply" if isinstance(error, RecursionError) else f"{error!r}"
            self.reading.problem(f"shown as text: {reason}", tree.get("data-place"))
            return f"#verbatim({parts(' '.join(tree.itertext()))})"

    def _prepare(self, tree: HtmlElement) -> None:
        for image in tree.iter("img"):
            if pixels := self.reading.pictures[image.get("data-name")].pixels:
                image.set("data-pixels", str(pixels))
        if self.show_addresses:
            for link in tree.iter("a"):
                address = link.get("href", "")
                if address.startswith(("http:", "https:")) and address.partition("//")[2] not in link.text_content():
                    link.tail = f" ({address}){link.tail or ''}"


def _text_of(block: Any) -> str:
    """Return the plain text of a block."""
    body = getattr(block, "body", block)
    tree = getattr(body, "tree", None)
    if hasattr(body, "text"):
        return body.text
    if tree is not None:
        return "\n".join(text.strip() for text in tree.itertext() if text.strip())
    return f"[{block.kind}]"
