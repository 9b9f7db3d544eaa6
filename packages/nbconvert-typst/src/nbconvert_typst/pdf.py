"""PDF without LaTeX: pandoc writes Typst, the `typst` wheel typesets it."""

import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from jinja2 import pass_context
from nbformat import NotebookNode
from traitlets import default

from nbconvert_typst.base import TEMPLATES, BlockExporter
from nbconvert_typst.pandoc import Image
from nbconvert_typst.tools import compile_typst

_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n", "\r": None, "\t": "    "})
_PIXEL = 0.75  # points


class TypstPDFExporter(BlockExporter):
    """`jupyter nbconvert --to typst-pdf`, for any notebook. Vector figures stay vectors."""

    export_from_notebook = "PDF via Typst"
    output_mimetype = "application/pdf"
    markup = "typst"

    @default("file_extension")
    def _file_extension_default(self) -> str:
        return ".pdf"

    @default("template_extension")
    def _template_extension_default(self) -> str:
        return ".typ.j2"

    @property
    def wants_code(self) -> bool:
        return self.show_code and super().wants_code

    def default_filters(self):
        yield from super().default_filters()
        yield "literal", literal
        yield "length", length

    def from_notebook_node(
        self, nb: NotebookNode, resources: dict[str, Any] | None = None, **kw: Any
    ) -> tuple[bytes, dict[str, Any]]:
        """Return the PDF's bytes; raise ExportError where pandoc or Typst fails or is missing."""
        with TemporaryDirectory(prefix="typst-pdf-") as folder:
            main, resources = self.write_project(Path(folder), nb, resources, **kw)
            return compile_typst(main), resources

    def write_project(
        self, folder: Path, nb: NotebookNode, resources: dict[str, Any] | None = None, **kw: Any
    ) -> tuple[Path, dict[str, Any]]:
        """Write the Typst project (main.typ, its style, one file per picture) into `folder`; main.typ's path."""
        self._pictures: dict[str, bytes] = {}
        source, resources = super().from_notebook_node(nb, resources, **kw)
        for name, data in self._pictures.items():
            (folder / name).write_bytes(data)
        shutil.copy(TEMPLATES / "report" / "style.typ", folder)
        main = folder / "main.typ"
        main.write_text(source, encoding="utf-8")
        return main, resources

    @pass_context
    def compose(self, context: Any, notebook: NotebookNode) -> dict[str, Any]:
        document = super().compose(context, notebook)
        self._pictures.update({name: image.data for name, image in document["images"].items()})
        document["store"] = self._store
        return document

    def _store(self, image: Image) -> str:
        """Put a picture among the project's files; its name."""
        suffix = image.mime.removeprefix("image/").removesuffix("+xml")
        name = f"picture-{len(self._pictures) + 1}.{suffix}"
        self._pictures[name] = image.data
        return name


def literal(text: str) -> str:
    """`text` as a Typst string."""
    printable = "".join(char for char in text if char >= " " or char in "\n\t")
    return f'"{printable.translate(_ESCAPES)}"'


def length(width: str | None) -> str:
    """A CSS width ("60%", "300px") as Typst writes it."""
    if width is None:
        return "auto"
    return f"{float(width[:-2]) * _PIXEL}pt" if width.endswith("px") else width
