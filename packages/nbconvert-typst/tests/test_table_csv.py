"""The figures of a table as CSV."""

import csv
import io
from urllib.parse import unquote

import lxml.html
import pytest
from bs4 import BeautifulSoup
from every_output import display
from nbconvert_typst import ReportHTMLExporter
from nbconvert_typst.table_csv import csv_of
from nbconvert_typst.tables import table_of
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook


def rows_of(head: list[str], *body: list[str]) -> list[list[str]]:
    cells = ["<tr>" + "".join(f"<td>{text}</td>" for text in row) + "</tr>" for row in body]
    names = "".join(f"<th>{text}</th>" for text in head)
    return rows_of_html(f"<table><thead><tr>{names}</tr></thead><tbody>{''.join(cells)}</tbody></table>")


def rows_of_html(source: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(csv_of(table_of(lxml.html.fromstring(source))))))


@pytest.mark.parametrize(
    ("cell", "figures"),
    [
        ("40.6 ± 1.3", ["40.6", "39.3", "41.9"]),
        ("<b>40.6</b> ± 1.3", ["40.6", "39.3", "41.9"]),
        ("+0.8 [−0.8, +2.4]", ["0.8", "-0.8", "2.4"]),
        ("−8.6 [−10.1, −7.0]", ["-8.6", "-10.1", "-7.0"]),
        ("0.10 ± 0.05", ["0.10", "0.05", "0.15"]),
        ("12,345 ± 1,345", ["12345", "11000", "13690"]),
    ],
)
def test_value_low_and_high_stand_apart(cell, figures):
    assert rows_of(["CE"], [cell]) == [["CE", "CE low", "CE high"], figures]


@pytest.mark.parametrize(
    ("cell", "text"),
    [("18,496", "18496"), ("−7.3", "-7.3"), ("+0.2", "0.2"), ("–", ""), ("1e-3", "1e-3")],
)
def test_a_number_is_one_that_programs_read(cell, text):
    assert rows_of(["n"], [cell], ["5"]) == [["n"], [text], ["5"]]


@pytest.mark.parametrize(
    "cell", ["80.4 (epoch 77)", "0 … 0.7", "about 30", "0.01, 0.1", 'says "no", twice', "2026-11-30"]
)
def test_words_stay_words(cell):
    assert rows_of(["a", "n"], [cell, "5"])[1] == [cell, "5"]


def test_a_unit_of_all_numbers_goes_into_the_name():
    assert rows_of(["time", "rate (%)"], ["29 s", "4 %"], ["–", "5 %"]) == [
        ["time (s)", "rate (%)"],
        ["29", "4"],
        ["", "5"],
    ]
    assert rows_of(["size"], ["3 MB"], ["2 GB"], ["7"]) == [["size"], ["3 MB"], ["2 GB"], ["7"]]


def test_spans_are_filled_and_headings_joined():
    head = "<tr><th rowspan=2>β</th><th colspan=2>best epoch</th></tr><tr><th>head</th><th>tail</th></tr>"
    body = "<tr><th rowspan=2>0.8</th><td>1.0</td><td>2 ± 1</td></tr><tr><td>3<br>of 4</td><td>4</td></tr>"
    source = f"<table><thead>{head}</thead><tbody>{body}</tbody></table>"
    assert rows_of_html(source) == [
        ["β", "best epoch head", "best epoch tail", "best epoch tail low", "best epoch tail high"],
        ["0.8", "1.0", "2", "1", "3"],
        ["0.8", "3 of 4", "4", "", ""],
    ]


def test_a_table_without_figures_has_none():
    assert rows_of(["a"], ["word"]) == []


def test_each_table_of_the_page_offers_its_csv():
    outputs = [display({}, text__html="<table><tr><th>n &amp; m, α</th></tr><tr><td>5 ± 1</td></tr></table>")]
    cells = [new_markdown_cell("| a | b |\n|---|---|\n| 1 % | x#y |"), new_code_cell("t", outputs=outputs)]
    html, _ = ReportHTMLExporter().from_notebook_node(new_notebook(cells=cells))
    links = BeautifulSoup(html, "html.parser").select("p.csv a[download]")
    assert [link["download"] for link in links] == ["unnumbered-table-1.csv", "unnumbered-table-2.csv"]
    head, texts = zip(*(link["href"].split(",", 1) for link in links), strict=True)
    assert set(head) == {"data:text/csv;charset=utf-8"}
    assert [unquote(text) for text in texts] == [
        "a (%),b\n1,x#y\n",
        '"n & m, α","n & m, α low","n & m, α high"\n5,4,6\n',
    ]


@pytest.mark.parametrize(
    ("head", "cells"),
    [
        ("run", ["4812abcf", "812"]),  # keys, one of which begins with digits
        ("claim", ["9a", "9"]),
        ("model", ["ResNet-32", "3 layers"]),
    ],
)
def test_a_column_of_names_stays_as_it_is(head, cells):
    assert rows_of([head, "n"], *([cell, "5"] for cell in cells)) == [[head, "n"], *([cell, "5"] for cell in cells)]


def test_a_unit_is_named_also_where_its_letters_are_in_the_name():
    assert rows_of(["epochs"], ["29 s"], ["3 s"]) == [["epochs (s)"], ["29"], ["3"]]
