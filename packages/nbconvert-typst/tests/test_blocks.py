"""Metadata of notebooks, cells and outputs that make a numbered document, as the README lists them."""

import json

import pytest
import typst
from bs4 import BeautifulSoup
from every_output import display, dot
from nbconvert_typst import ReportHTMLExporter, TypstPDFExporter
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

FIGURE = {"kind": "figure", "name": "loss", "caption": "The *loss*.", "alt": "A curve", "width": "60%"}
TABLE = {"kind": "table", "name": "runs", "caption": "All runs."}


def document(key="typst"):
    outputs = [
        display({key: FIGURE}, image__png=dot("png"), text__plain="<Figure>"),
        display({key: {"kind": "caption"}}, text__markdown="for JupyterLab alone"),
        display({key: TABLE}, text__html="<table><tr><td>5</td></tr></table>"),
    ]
    cells = [
        new_markdown_cell("", metadata={key: {"kind": "contents"}}),
        new_markdown_cell("Mind this.", metadata={key: {"kind": "notice"}}),
        new_markdown_cell("# One\n\n## Two\n\nSee [Figure](#loss) and [Table](#runs)."),
        new_code_cell("plot()", outputs=outputs),
    ]
    return new_notebook(cells=cells, metadata={"title": "A study", key: {"facts": [["Date", "today"]]}})


def page_of(notebook, **options):
    html, _ = ReportHTMLExporter(**options).from_notebook_node(notebook)
    return BeautifulSoup(html, "html.parser")


def query_of(notebook, folder):
    main, _ = TypstPDFExporter().write_project(folder, notebook)
    return lambda selector: json.loads(typst.query(main, selector, root=folder))


def test_metadata_make_a_numbered_document_in_html():
    page = page_of(document())
    assert page.select_one("header h1").text == "A study"
    assert page.select_one("header dl").get_text(" ", strip=True) == "Date today"
    assert [item.text.strip() for item in page.select("nav li")] == ["1 One", "1.1 Two"]
    assert page.select_one("aside.notice").text.strip() == "Mind this."
    assert [caption.text for caption in page.select("figcaption")] == ["Figure 1: The loss.", "Table 1: All runs."]
    assert [link.text for link in page.select("p:not(.csv) a")] == ["Figure 1", "Table 1"]
    picture = page.select_one("figure img")
    assert (picture["alt"], picture["style"]) == ("A curve", "width: 60%")
    assert "JupyterLab" not in page.text


def test_metadata_make_a_numbered_document_in_the_pdf(tmp_path):
    query = query_of(document(), tmp_path)
    assert len(query("outline")) == len(query("<notice>")) == 1
    assert [figure["kind"] for figure in query("figure")] == ["image", "table"]
    assert query("image")[0]["width"] == "0% + 275.53pt"  # 60 % of the text, as Typst writes a length
    assert "JupyterLab" not in (tmp_path / "main.typ").read_text(encoding="utf-8")


def test_details_fold_in_html_and_are_left_out_of_the_pdf(tmp_path):
    noted = {"typst": {"kind": "details", "summary": "All runs"}}
    notebook = new_notebook(cells=[new_markdown_cell("# A\n\nEvery *run*.", metadata=noted), new_markdown_cell("End.")])
    details = page_of(notebook).select_one("details")
    assert details.summary.text == "All runs"
    assert details.em.text == "run"
    query_of(notebook, tmp_path)
    main = (tmp_path / "main.typ").read_text(encoding="utf-8")
    assert "run" not in main.split("#show", 1)[1]
    assert "End" in main


@pytest.mark.parametrize(("noted", "placement"), [({}, None), ({"float": True}, "bottom")])
def test_a_figure_floats_where_it_may(noted, placement, tmp_path):
    output = display({"typst": FIGURE | noted}, image__png=dot("png"))
    notebook = new_notebook(cells=[new_code_cell("p", outputs=[output])])
    (figure,) = query_of(notebook, tmp_path)("figure")
    assert figure.get("placement") == placement


def test_a_trait_names_the_key():
    assert page_of(document("study"), metadata_key="study").select("figure, header, nav")
    assert not page_of(document("study")).select("figure, header, nav")


@pytest.mark.parametrize(
    "noted", [{"width": "60%"}, {"kind": "something else"}, {"kind": "something else", "name": "n"}]
)
def test_an_output_of_no_known_kind_is_an_ordinary_one(noted, tmp_path):
    notebook = new_notebook(cells=[new_code_cell("p", outputs=[display({"typst": noted}, image__png=dot("png"))])])
    page = page_of(notebook)
    assert page.select("img")
    assert not page.select("figure")
    query = query_of(notebook, tmp_path)
    assert query("image")
    assert not query("figure")


@pytest.mark.parametrize("kind", ["figure", "table"])
def test_name_and_caption_may_be_left_out_and_text_may_be_numbered(kind, tmp_path):
    outputs = [display({"typst": {"kind": kind}}, text__plain=text) for text in ("one", "two")]
    notebook = new_notebook(cells=[new_code_cell("p", outputs=outputs)])
    page = page_of(notebook)
    assert [caption.text.strip() for caption in page.select("figcaption")] == [f"{kind.title()} {n}" for n in (1, 2)]
    assert [figure.pre.text for figure in page.select("figure")] == ["one", "two"]
    query = query_of(notebook, tmp_path)
    assert [figure["kind"] for figure in query("figure")] == [{"figure": "image"}.get(kind, kind)] * 2
    assert [raw["text"] for raw in query("raw.where(block: true)") if raw["text"] != "p"] == ["one", "two"]
