"""The assembled report: both forms hold the same document, and the HTML needs no network."""

import io
import json
import re

import matplotlib
import nbformat
import numpy as np
import pandas as pd
import pytest
from bs4 import BeautifulSoup
from nbconvert_typst import TypstPDFExporter
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from longtail_writeup.report.document import assemble, headlines, write_report

matplotlib.use("agg")
from matplotlib.figure import Figure

CONVNET = r"""# The ConvNet

It has `266,378` parameters and weights $E_n = \frac{1-\beta^n}{1-\beta}$:

\begin{align}
w_c &= \frac{1}{E_{n_c}} \\
\sum_c w_c &= C
\end{align}

See [Figure](#learning_curve), [above](#Größe-and-β) and [PyTorch](https://pytorch.org/docs).

## Größe and β

#### A level is skipped here
"""


def svg() -> str:
    figure = Figure(figsize=(7, 2))
    figure.subplots().plot([1, 3, 2])
    with matplotlib.rc_context({"svg.hashsalt": "test"}):
        figure.savefig(buffer := io.StringIO(), format="svg")
    return buffer.getvalue()


def shown(kind: str, name: str, data: dict[str, str], caption: str) -> list:
    """A figure or table and its caption for JupyterLab, as lib.notebook.exhibits writes them."""
    writeup = {"kind": kind, "name": name, "caption": caption, "alt": f"About {name}", "width": "60%"}
    return [
        new_output("display_data", data=data | {"text/plain": name}, metadata={"writeup": writeup}),
        new_output(
            "display_data",
            data={"text/markdown": f"*{caption} (for JupyterLab)*"},
            metadata={"writeup": {"kind": "caption", "of": name}},
        ),
    ]


def code(source: str, outputs: list, *tags: str):
    return new_code_cell(source, outputs=outputs, metadata={"tags": list(tags)})


def wide_table() -> str:
    frame = pd.DataFrame(np.full((11, 11), "<b>74.1</b> ± 0.8"), columns=[f"class {n}" for n in range(11)])
    return frame.to_html(escape=False)


def grouped_table() -> str:
    columns = pd.MultiIndex.from_product([["best epoch", "last epoch"], ["head", "tail"]])
    frame = pd.DataFrame(np.ones((2, 4)), index=pd.Index(["CE", "Focal"], name="loss"), columns=columns)
    return frame.style.format("{:.1f}").to_html()


@pytest.fixture(scope="module")
def document(tmp_path_factory):
    folder = tmp_path_factory.mktemp("executed")
    stream = new_output("stream", name="stdout", text="\x1b[31mepoch 1\x1b[0m\n")
    widget = new_output(
        "display_data",
        data={"application/vnd.jupyter.widget-view+json": {"model_id": "1"}, "text/plain": "HBox(dead)"},
    )
    convnet = [
        new_markdown_cell(CONVNET),
        code("train()", [stream], "training"),
        code("shout()", [stream, widget]),
        code("secret_setup()", [], "remove-input"),
        code("secret_output()", [stream], "remove-output"),
        code("secret_cell()", [], "remove-cell"),
        code("curve()", shown("figure", "learning_curve", {"image/svg+xml": svg()}, "Loss at $\\beta=0.9$.")),
        code("layers()", shown("table", "layers", {"text/html": wide_table()}, "The **layers**.")),
    ]
    sweep = [
        code("heat()", shown("figure", "heat", {"image/svg+xml": svg()}, "A heat map.")),
        code("table()", shown("table", "protocols", {"text/html": grouped_table()}, "Two protocols.")),
    ]
    for name, cells in {"convnet": convnet, "beta_sweep": sweep, "data_wrangling": sweep}.items():
        nbformat.write(new_notebook(cells=cells), folder / f"{name}.ipynb")
    names = ("convnet", "data_wrangling", "beta_sweep")
    return assemble(
        [folder / f"{name}.ipynb" for name in names],
        'A "long" tail \\ report',
        [("Date", "23 November 2026"), ("Commit", "2984ca8"), ("Profile", "quick"), ("Machine", "two cores")],
        notice="**Three epochs** only.",
        summary='<h1 class="unnumbered">Summary</h1>\n\nIn short.',
        appendix='<h1 class="unnumbered">References</h1>\n\n1. Cui et al., arXiv:1901.05555.',
        missing={"data_wrangling": "the kernel died."},
    )


@pytest.fixture(scope="module")
def report(document, tmp_path_factory):
    return write_report(document, tmp_path_factory.mktemp("report") / "new folder")


@pytest.fixture(scope="module")
def page(report):
    return BeautifulSoup(report[0].read_text(encoding="utf-8"), "html.parser")


@pytest.fixture(scope="module")
def query(document, tmp_path_factory):
    typst = pytest.importorskip("typst")
    folder = tmp_path_factory.mktemp("typst")
    main, _ = TypstPDFExporter(metadata_key="writeup", show_code=False).write_project(folder, document)
    return lambda selector: json.loads(typst.query(main, selector, root=folder))


def test_both_forms_have_the_same_headings_figures_and_tables(page, query):
    levels = [int(tag.name[1]) - 1 for tag in page.select("main :is(h2, h3, h4, h5, h6)")]
    assert levels == [heading["level"] for heading in query("heading.where(outlined: true)")]
    assert levels == [1, 1, 2, 3, 1, 1, 1]
    for kind, selector in {"figure": "figure.where(kind: image)", "table": "figure.where(kind: table)"}.items():
        assert len(page.select(f"figure.{kind}")) == len(query(selector)) == 2
    assert len(page.select("table")) == len(query("table")) == 2


def test_figures_and_tables_are_numbered_across_notebooks(page):
    labels = [caption.b.text for caption in page.select("figcaption")]
    assert labels == ["Figure 1:", "Table 1:", "Figure 2:", "Table 2:"]
    assert "for JupyterLab" not in page.text


def test_a_reference_names_the_figure_and_every_link_has_its_target(page):
    links = page.select("a[href]:not([download])")
    assert "Figure 1" in [link.text for link in links]
    inside = [link for link in links if link["href"].startswith("#")]
    assert [link.text for link in links if link not in inside] == ["PyTorch", "arXiv:1901.05555"]
    assert len(inside) == 3 + len(page.select("nav a, .anchor"))  # and the one that leads to the contents
    for link in inside:
        assert page.find(id=link["href"].removeprefix("#")), link


def test_html_needs_no_network(report, page):
    html = report[0].read_text(encoding="utf-8").replace("http://www.w3.org/1998/Math/MathML", "")
    links = ["https://pytorch.org/docs", "https://arxiv.org/abs/1901.05555"]  # which load nothing
    assert re.findall(r"https?://[^\s\"]+", html) == links
    assert page.find("a", href="https://pytorch.org/docs").text == "PyTorch"
    assert not re.findall(r"""(?:src|href)\s*=\s*["']?//|url\(\s*["']?(?!data:)|@import""", html)
    assert not page.select("script, link, iframe, object")


def test_formulas_are_mathml(page):
    assert len(page.select("math[display=block]")) == 1
    assert page.select_one("figcaption math")
    assert "$" not in page.text


def test_pictures_have_a_description_and_are_vectors(page):
    pictures = page.select("figure img")
    assert [picture["alt"] for picture in pictures] == ["About learning_curve", "About heat"]
    assert all(picture["src"].startswith("data:image/svg+xml;base64,") for picture in pictures)


def test_tags_widgets_and_training_output_are_respected(page):
    assert [cell.text.strip() for cell in page.select(".code")][:2] == ["train()", "shout()"]
    assert "secret_setup" not in page.text
    assert "secret_cell" not in page.text
    assert [output.text for output in page.select("pre.output")] == ["epoch 1"]
    assert "HBox" not in page.text


def test_code_is_hidden_until_the_switch_is_used(page, document):
    assert not page.select_one("#show-code").has_attr("checked")
    assert page.select_one("label[for=show-code]")


def test_code_is_in_the_pdf_only_on_request(document, tmp_path):
    hidden, _ = TypstPDFExporter(metadata_key="writeup", show_code=False).write_project(tmp_path, document)
    assert "curve()" not in hidden.read_text(encoding="utf-8")
    visible, _ = TypstPDFExporter(metadata_key="writeup", show_code=True).write_project(tmp_path, document)
    assert "curve()" in visible.read_text(encoding="utf-8")


def test_a_missing_notebook_leaves_a_box_in_its_place(page, query):
    box = page.select("aside.notice")[1].text
    assert "data_wrangling did not finish: the kernel died." in box
    assert "data_wrangling.ipynb" in box
    headings = [tag.text for tag in page.select("main h2")]
    assert headings == ["Summary", "1 The ConvNet", "2 Data wrangling", "3 Beta sweep", "References"]
    assert "the kernel died." in json.dumps(query("<notice>")[1])


def test_a_notebook_that_does_not_exist_leaves_a_box(tmp_path):
    document = assemble([tmp_path / "convnet.ipynb"], "T", [])
    assert "It was not executed." in document.cells[-1].source


def test_the_first_page_says_what_was_shortened(page):
    header = page.select_one("header")
    assert [fact.text for fact in header.select("dd")][:4] == ["23 November 2026", "2984ca8", "quick", "two cores"]
    assert header.find_next_sibling("aside").text.strip() == "Three epochs only."


def test_what_notebooks_mark_for_the_first_page_comes_first_and_once(tmp_path):
    def headline(text, place):
        return new_output(
            "display_data", data={"text/markdown": text}, metadata={"writeup_headline": {"first_page": place}}
        )

    first = shown("figure", "rows", {"image/svg+xml": svg()}, "The rows.")
    ledger = shown("table", "ledger", {"text/html": "<table><tr><td>7</td></tr></table>"}, "The ledger.")
    for output in (first[0], ledger[0]):
        output.metadata["writeup"]["first_page"] = True
    later = shown("figure", "later", {"image/svg+xml": svg()}, "Later.")
    one = [new_markdown_cell("# One"), code("a", [*later, *ledger, headline("Second.", 2), headline("Other.", 0)])]
    two = [new_markdown_cell("# Two"), code("b", [*first, headline("First.", 1)])]
    for name, cells in {"one": one, "two": two}.items():
        nbformat.write(new_notebook(cells=cells), tmp_path / f"{name}.ipynb")
    document = assemble([tmp_path / "one.ipynb", tmp_path / "two.ipynb"], "T", [("Date", "today")], origins="All runs.")
    page = BeautifulSoup(write_report(document, tmp_path / "out")[0].read_text(), "html.parser")
    labels = [caption.get_text() for caption in page.select("figcaption")]
    assert labels == ["Figure 1: The rows.", "Table 1: The ledger.", "Figure 2: Later."]
    first, second = page.select("main > figure")[:2]
    between = [
        tag.get_text(" ", strip=True) for tag in first.find_next_siblings() if tag in second.find_previous_siblings()
    ]
    assert between == ["First. Second."]
    assert page.select_one("main > details").get_text(" ", strip=True).endswith("All runs.")
    read = [nbformat.read(tmp_path / f"{name}.ipynb", 4) for name in ("one", "two")]
    assert headlines(read) == ["Other."]
    assert headlines(read, first_page=True) == ["First.", "Second."]


def test_grouped_headings_span_their_columns_and_numbers_stand_right(page):
    protocols = page.select("figure.table")[1]
    assert [cell["colspan"] for cell in protocols.select("thead th[colspan]")] == ["2", "2"]
    assert protocols.select_one("thead tr:last-child th").text == "loss"
    assert all("right" in cell["style"] for cell in protocols.select("td"))


def test_the_pdf_is_written_whole(report):
    content = report[1].read_bytes()
    assert content.startswith(b"%PDF-")
    assert content.rstrip().endswith(b"%%EOF")
    assert len(re.findall(rb"/Type\s*/Page\b", content)) >= 2
    assert sorted(path.name for path in report[1].parent.iterdir()) == ["report.html", "report.pdf"]


def test_the_report_is_the_same_each_time(document, report, tmp_path):
    again = write_report(document, tmp_path)
    assert [path.read_bytes() for path in again] == [path.read_bytes() for path in report]


def test_a_table_that_ends_the_text_keeps_its_last_row(tmp_path):
    document = assemble([], "T", [], notice="| a | b |\n|---|---|\n| 1 | 2 |\n| 3 | 4 |")
    html, _ = write_report(document, tmp_path)
    rows = BeautifulSoup(html.read_text(), "html.parser").select("tbody tr")
    assert [row.get_text(" ", strip=True) for row in rows] == ["1 2", "3 4"]
