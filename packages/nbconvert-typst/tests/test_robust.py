"""No item ends the document: what cannot be converted is shown as text, and named once."""

import logging

import pytest
from every_output import encoded, pdf_of, picture, shown
from nbconvert_typst import ExportError, ReportHTMLExporter, TypstPDFExporter
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output, new_raw_cell

AFTER = new_markdown_cell("The rest.")


@pytest.mark.parametrize(
    "markdown",
    [
        "<div>" * 3000 + "deep", ">" * 3000 + " deep", "**" * 3000 + "deep" + "**" * 3000, "[" * 3000 + "deep",
        "\n".join("  " * level + f"- deep {level}" for level in range(200)), "deep \x00\ud800\uffff\x1b[31m",
        "deep " * 20_000, "$" + "{" * 5000 + "$ deep", "$\\def\\a{\\a\\a}\\a$ deep",
        "deep $x_1_2$ $\\frac$ $\\begin{x}$",
        "<table><tr><td colspan=99999 rowspan=99999>deep<td rowspan=0>b</table><table></table>", "</div></p>deep<td>",
        "deep <![CDATA[x]]> <?php x ?> <!-- open", "![deep](data:image/png;base64,AAAA)", "deep [a][b]\n\n[b]: <x y>",
    ],
)  # fmt: skip
def test_hostile_markdown_and_html(markdown):
    pdf = pdf_of(new_markdown_cell(markdown), shown(text__html=markdown, text__plain="deep"), AFTER)
    assert "deep" in pdf.text
    assert "The rest." in pdf.text
    page, _ = ReportHTMLExporter().from_notebook_node(new_notebook(cells=[new_markdown_cell(markdown), AFTER]))
    assert "The rest." in page


@pytest.mark.parametrize("source", ["#foo(", "#panic()", '#image("x.png")', "$ unclosed", "#{", "]"])
def test_a_block_that_typst_rejects_is_shown_as_text(source):
    raw = new_raw_cell(source, metadata={"raw_mimetype": "text/typst"})
    pdf = pdf_of(new_markdown_cell("Before."), raw, AFTER)
    assert source in pdf.text
    assert "Before." in pdf.text
    assert "The rest." in pdf.text
    assert [problem.split(":")[0] for problem in pdf.problems] == ["cell 2"]


def test_one_bad_formula_leaves_its_source_and_its_neighbours():
    pdf = pdf_of(new_markdown_cell("Take $x_1_2$ and $y^2$ and $\\nosuchcommand z$."), AFTER)
    assert "x_1_2" in pdf.text
    assert "𝑦2" in pdf.words
    assert "nosuchcommand" in pdf.text
    assert len(pdf.problems) == 2
    assert all(problem.startswith("cell 1: formula: ") for problem in pdf.problems)


@pytest.mark.parametrize(
    "inner", ["<mfrac><mi>deep</mi></mfrac>", "<munder/>deep", "<mtable><mi>deep</mi></mtable>", "deep"]
)
def test_mathml_of_any_form(inner):
    cell = shown(text__html=f"<p>A <math>{inner}</math> b</p>")
    assert "deep" in "".join(pdf_of(cell).text.split())
    page, _ = ReportHTMLExporter().from_notebook_node(new_notebook(cells=[cell]))
    assert "deep" in page


class Said(logging.Logger):
    """A logger whose warnings are kept, whatever other tests have done to the levels and handlers of this process."""

    def __init__(self):
        super().__init__("said")
        self.lines = []

    def warning(self, message, *values, **_):
        self.lines.append(message % values)


def test_problems_are_named_once_and_kept_for_callers():
    bad = shown(image__png=encoded(picture("PNG")[:50]))
    exporter = TypstPDFExporter()
    exporter.log = Said()
    _, resources = exporter.from_notebook_node(new_notebook(cells=[bad, AFTER]))
    assert resources["problems"] == ["cell 1: picture cannot be read: truncated PNG"]
    assert exporter.log.lines == ["Notebook, " + resources["problems"][0]]


@pytest.mark.parametrize("exporter", [TypstPDFExporter, ReportHTMLExporter])
def test_strict_makes_a_problem_an_error(exporter):
    notebook = new_notebook(cells=[new_markdown_cell("Take $x_1_2$.")])
    with pytest.raises(ExportError, match=r"cell 1: formula"):
        exporter(strict=True).from_notebook_node(notebook)
    exporter(strict=True).from_notebook_node(new_notebook(cells=[AFTER]))


@pytest.mark.parametrize("exporter", [TypstPDFExporter, ReportHTMLExporter])
@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"nbformat": 4}', "\ufeff\x00", "null"])
def test_a_file_that_is_no_notebook_is_one_sentence(exporter, content, tmp_path):
    path = tmp_path / "broken.ipynb"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(ExportError, match=r"^not a notebook: [^\n]*$"):
        exporter().from_filename(str(path))


def test_an_invalid_notebook_is_one_sentence():
    invalid = new_notebook(cells=[new_code_cell("x", outputs=[new_output("stream", text="a")])])
    invalid.cells[0].outputs[0]["output_type"] = "novel"
    with pytest.raises(ExportError, match=r"^the notebook is not valid: [^\n]*$"):
        TypstPDFExporter().from_notebook_node(invalid)


@pytest.mark.parametrize("exporter", [TypstPDFExporter, ReportHTMLExporter])
@pytest.mark.parametrize("facts", [None, ["Date"], {"a": "b"}, [["a", 1]], [["a"]], "text", 7])
def test_metadata_of_any_form(exporter, facts):
    notebook = new_notebook(cells=[AFTER], metadata={"typst": {"facts": facts}})
    exporter().from_notebook_node(notebook)


@pytest.mark.parametrize("exporter", [TypstPDFExporter, ReportHTMLExporter])
def test_half_a_character_does_no_harm(exporter):
    stream = new_output("stream", name="stdout", text="a \ud83d b")
    notebook = new_notebook(cells=[new_code_cell('"\ud83d"', outputs=[stream]), new_markdown_cell("c \ud83d")])
    written, _ = exporter().from_notebook_node(notebook)
    assert written if isinstance(written, bytes) else written.encode()


def test_a_full_disk_is_one_sentence(monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("nbconvert_typst.project.shutil.copy", full)
    with pytest.raises(ExportError, match=r"could not be written.*No space left"):
        TypstPDFExporter().from_notebook_node(new_notebook(cells=[AFTER]))
