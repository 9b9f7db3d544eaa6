"""Tables: nothing off the page, nothing too small, numbers to the right, and a thousand rows in seconds."""

import re
import time

import pandas as pd
import pytest
from every_output import Pdf, pdf_of, shown
from lxml import html
from nbconvert_typst import ReportHTMLExporter, TypstPDFExporter
from nbconvert_typst.latex_tables import table_html
from nbconvert_typst.tables import table_of
from nbformat.v4 import new_markdown_cell, new_notebook

TEXT = (67, 528)  # left and right edge of the text, in points


def extent(pdf: Pdf) -> tuple[float, float, float]:
    """Leftmost and rightmost position and smallest size of the text."""
    found = []

    def visit(text, page, line, font, size):
        left = line[4] * page[0] + line[5] * page[2] + page[4]
        size *= abs(line[0] * page[0])
        if text.strip() and size:
            found.append((left, left + 0.3 * len(text.strip()) * size, size))

    for page in pdf.pages:
        page.extract_text(visitor_text=visit)
    left, right, sizes = zip(*found, strict=True)
    return min(left), max(right), min(size for size in sizes if size > 0)


def frame(rows: int, columns: int) -> str:
    data = {f"column_{n}": [n * row / 7 for row in range(rows)] for n in range(columns)}
    return pd.DataFrame(data).to_html()


@pytest.mark.parametrize(("rows", "columns"), [(8, 30), (150, 30), (3, 14), (3, 60)])
def test_a_wide_table_is_set_in_blocks_of_columns_at_a_legible_size(rows, columns):
    pdf = pdf_of(shown(text__html=frame(rows, columns)))
    left, right, size = extent(pdf)
    assert left >= TEXT[0]
    assert right <= TEXT[1]
    assert size >= 7
    for n in range(columns):
        assert len(re.findall(rf"column_{n}\b", pdf.text)) >= 1


def test_each_block_of_columns_names_its_rows():
    pdf = pdf_of(
        shown(text__html=pd.DataFrame({f"column number {n}": [n] for n in range(20)}, index=["row"]).to_html())
    )
    assert len(re.findall(r"^\s*row\b", pdf.text, re.MULTILINE)) > 1


def test_headings_over_several_columns_are_kept_in_every_block():
    columns = pd.MultiIndex.from_product([["first group", "second group"], [f"column {n:02}" for n in range(12)]])
    pdf = pdf_of(shown(text__html=pd.DataFrame([[1] * 24], columns=columns).to_html()))
    assert pdf.text.count("first group") + pdf.text.count("second group") > 2
    assert extent(pdf)[1] <= TEXT[1]


@pytest.mark.parametrize("word", ["https://example.org/" + "q" * 200, "0123456789abcdef" * 12])
@pytest.mark.parametrize("columns", [1, 3])
def test_a_long_word_breaks_within_its_cell(word, columns):
    table = pd.DataFrame({f"c{n}": [word, word] for n in range(columns)}).to_html(render_links=False)
    pd_width = pdf_of(new_markdown_cell(table))
    assert extent(pd_width)[1] <= TEXT[1]
    assert "".join(pd_width.text.split()).count(word[-12:]) >= 1


def test_a_thousand_rows_take_seconds():
    before = time.process_time()
    pdf = pdf_of(shown(text__html=frame(1000, 8)))
    assert time.process_time() - before < 10  # measured: 1.2
    assert len(pdf.pages) > 10
    assert pdf.text.count("column_0") == len(pdf.pages)


def test_captions_and_colours_of_cells_are_shown(tmp_path):
    style = (
        pd.DataFrame({"a": [1.0, 2.0]})
        .style.set_caption("The *losses*")
        .map(lambda value: "background-color: #ff8800; color: white; font-weight: bold" if value > 1 else "")
    )
    notebook = new_notebook(cells=[shown(text__html=style.to_html())])
    main, _ = TypstPDFExporter().write_project(tmp_path, notebook)
    source = main.read_text(encoding="utf-8")
    assert source.count('rgb("#ff8800")') == 1
    assert source.count('#text(fill: rgb("#ffffff"))') == 1
    pdf = pdf_of(*notebook.cells)
    assert pdf.words.index("The *losses*") < pdf.words.index("2.0")
    page, _ = ReportHTMLExporter().from_notebook_node(notebook)
    assert "background-color: #ff8800" in page


def parsed(source: str):
    return table_of(html.fragment_fromstring(source))


def test_numbers_are_aligned_to_the_right_with_their_heading():
    table = parsed(
        "<table><tr><th>name<th>loss<th>accuracy<th>note</tr>"
        "<tr><td>CE<td>1.5<td>74.1 ± 0.8<br><small>published 41.0</small><td>5</tr>"
        "<tr><td>CB<td>–<td>−3<td>none</tr></table>"
    )
    assert table.aligns == ["left", "right", "right", "left"]
    assert table.header_rows == 1


def test_an_alignment_that_the_author_asks_for_is_kept():
    table = parsed('<table><tr><td style="text-align:center">1<td align="left">2<td>3</tr></table>')
    assert table.aligns == ["center", "left", "right"]


def test_spans_are_placed_as_browsers_do():
    table = parsed(
        '<table><tr><td rowspan=2>a<td colspan=2>b</tr><tr><td>c<td>d</tr><tr><td rowspan="99">e</tr></table>'
    )
    places = {cell.text: (cell.x, cell.y, cell.colspan, cell.rowspan) for cell in table.cells}
    assert places == {"a": (0, 0, 1, 2), "b": (1, 0, 2, 1), "c": (1, 1, 1, 1), "d": (2, 1, 1, 1), "e": (0, 2, 1, 1)}


def test_a_row_over_the_whole_width_does_not_widen_the_table():
    table = parsed('<table><tr><td>a<td>1</tr><tr><td colspan="100">total</tr><tr><td>b<td>2</tr></table>')
    assert table.columns == 2
    assert next(cell for cell in table.cells if cell.text == "total").colspan == 2


def test_the_names_of_pandas_index_move_into_the_heading():
    index = pd.Index(["CE", "Focal"], name="loss")
    table = table_of(html.fragment_fromstring(pd.DataFrame({"accuracy": [1, 2]}, index=index).to_html()))
    assert table.header_rows == 1
    assert [cell.text for cell in table.cells if cell.y == 0] == ["loss", "accuracy"]
    assert table.leading == 1


def test_a_table_within_a_table_stays_one():
    pdf = pdf_of(shown(text__html="<table><tr><td>out<table><tr><td>in</td></tr></table></td></tr></table>"))
    assert "out" in pdf.text
    assert pdf.text.count("in\n") + pdf.text.count("in ") == 1


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (r"\begin{tabular}{l|r} a & 5\,\% \\ \hline b & \textbf{6} \\ \end{tabular}", ["a", "b", "<b>6</b>"]),
        (r"\begin{longtable}[t]{ll} \toprule h & i\\ \midrule \endhead x\_y & \$3 \\ \bottomrule \end{longtable}",
         ["<th>h</th>", "<td>x_y</td>", r"<td>\$3</td>"]),
        (r"\begin{table}\caption{Two \emph{kinds}}\begin{tabular}{ll}1&2\end{tabular}\end{table}",
         ["<caption>Two <i>kinds</i></caption>", "<td>1</td><td>2</td>"]),
        (r"\begin{tabular}{ll} \multirow{2}{*}{y} & 1\\ & 2 \end{tabular}", ["<td>y</td><td>1</td>"]),
        (r"\begin{tabular}{r} <b> \end{tabular}", ["&lt;b&gt;"]),
    ],
)  # fmt: skip
def test_latex_tables(source, expected):
    written = table_html(source)
    for each in expected:
        assert each in written


@pytest.mark.parametrize("source", [r"$\begin{array}{c}1\end{array}$", "no table", r"\begin{tabular}{l} unfinished"])
def test_what_is_no_latex_table(source):
    assert table_html(source) is None
