"""A notebook with every kind of cell and output, and what tests build others from and look at results with."""

import base64
import io
from pathlib import Path

import pypdf
from nbconvert_typst import TypstPDFExporter
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output, new_raw_cell
from PIL import Image

MARKDOWN = """# A heading: 5 < 6 & "quotes" #hash @at *all* <here>

Costs $5 and `a_b`; ![local](attachment:my%20dot.png) ![away](https://example.org/x.png) [gone](other.ipynb)

```python
print("\\(no formula\\)")  # <b>
```

Broken formula $\\foo{x}$, <b>bold</b><br>new line<script>alert(1)</script>

| a | b |
|---|---|
| x | 1 |
"""


class Pdf:
    """A PDF as its reader finds it: text, links, pictures."""

    def __init__(self, data: bytes, problems: list[str]) -> None:
        self.problems = problems
        self.pages = pypdf.PdfReader(io.BytesIO(data)).pages
        self.text = "\n".join(page.extract_text() for page in self.pages)
        self.words = " ".join(self.text.split())

    @property
    def links(self) -> list[str]:
        """Web addresses that can be clicked."""
        actions = (note["/A"] for page in self.pages for note in page.annotations or [] if "/A" in note)
        return [action["/URI"] for action in actions if "/URI" in action]

    @property
    def jumps(self) -> int:
        """Number of links inside the document."""
        notes = [note.get_object() for page in self.pages for note in page.annotations or []]
        return sum("/Dest" in note or "/D" in note.get("/A", {}) for note in notes)

    @property
    def pictures(self) -> list[tuple[float, float]]:
        """Width and height of each picture as it is drawn, in points."""
        sizes = []
        for page in self.pages:
            page.extract_text(
                visitor_operand_before=lambda operator, operands, matrix, _: (
                    sizes.append((abs(matrix[0]), abs(matrix[3]))) if operator == b"Do" else None
                )
            )
        return sizes


def pdf_of(*cells: NotebookNode, folder: Path | None = None, **options) -> Pdf:
    """The PDF of a notebook of these cells."""
    resources = {"metadata": {"name": "notebook", "path": str(folder or Path(__file__).parent)}}
    data, resources = TypstPDFExporter(**options).from_notebook_node(new_notebook(cells=list(cells)), resources)
    return Pdf(data, resources["problems"])


def shown(metadata: dict | None = None, **data: str) -> NotebookNode:
    """A code cell with one output; `image__png` stands for image/png."""
    return new_code_cell("show()", outputs=[display(metadata, **data)])


def picture(image_format: str, size: tuple[int, int] = (80, 40)) -> bytes:
    """A red picture."""
    mode = "RGBA" if image_format in ("PNG", "WEBP") else "RGB"
    Image.new(mode, size, "red").save(buffer := io.BytesIO(), format=image_format)
    return buffer.getvalue()


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def dot(image_format: str) -> str:
    """A red picture of 4 × 4 pixels, in base64."""
    return encoded(picture(image_format.upper(), (4, 4)))


def display(metadata: dict | None = None, **data: str) -> NotebookNode:
    """An output; `image__png` stands for image/png."""
    bundle = {kind.replace("__", "/", 1).replace("__", "+"): value for kind, value in data.items()}
    return new_output("display_data", data=bundle, metadata=metadata or {})


def notebook() -> NotebookNode:
    text = new_markdown_cell(MARKDOWN)
    text["attachments"] = {"my dot.png": {"image/png": dot("png")}}
    outputs = [
        new_output("stream", name="stdout", text='say "hi" \\ #let\n10 %\r100 %\n'),
        new_output("stream", name="stderr", text="\x1b[33ma warning\x1b[0m\n"),
        new_output("error", ename="ValueError", evalue="no", traceback=["\x1b[31mValueError\x1b[0m: no"]),
        display(image__png=dot("png"), text__plain="<Figure>"),
        display(image__jpeg=dot("jpeg")),
        display(text__latex=r"$\displaystyle \frac{1}{2}$", text__plain="1/2"),
        display(text__html="<div><style>td {}</style><table><tr><td>5</td></tr></table></div>"),
        display(text__html='<script src="https://example.org/x.js"></script><p>kept</p>'),
        display(text__markdown="*generated*"),
        new_output("execute_result", data={"text/plain": "42"}, execution_count=1),
    ]
    cells = [text, new_raw_cell("raw"), new_code_cell("x = '$%#'\nx", outputs=outputs), new_code_cell("")]
    return new_notebook(cells=cells, metadata={"language_info": {"name": "python"}})
