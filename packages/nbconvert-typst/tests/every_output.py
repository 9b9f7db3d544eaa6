"""A notebook with every kind of cell and output, and what tests build others from."""

import base64
import io

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


def dot(image_format: str) -> str:
    """A red picture of 4 × 4 pixels, in base64."""
    Image.new("RGB", (4, 4), "red").save(buffer := io.BytesIO(), format=image_format)
    return base64.b64encode(buffer.getvalue()).decode()


def display(metadata: dict | None = None, **data: str) -> NotebookNode:
    """An output; `image__png` stands for image/png."""
    bundle = {kind.replace("__", "/"): value for kind, value in data.items()}
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
