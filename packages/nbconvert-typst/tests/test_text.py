"""Text of Markdown and HTML: links, anchors, code, long words, scripts of the world."""

import re
import time

import pytest
from bs4 import BeautifulSoup
from every_output import pdf_of, shown
from nbconvert_typst import ReportHTMLExporter, TypstPDFExporter
from nbconvert_typst.css import rgba
from nbconvert_typst.tools import font_folders
from nbconvert_typst.typst_text import wrapped
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from test_table_layout import TEXT, extent

SPECIAL = r"""5 * 4 * 3, a_b_c, #let x, @ref, $ 5, <tag>, `code`, ~ tilde, -- dash, ... dots, = no heading, \ back,
// no comment
+ an item
- /* none */ "quoted" 'single' https\://none, [brackets], {braces}, ^ | & %"""


def html_of(*cells, **options) -> BeautifulSoup:
    page, _ = ReportHTMLExporter(**options).from_notebook_node(new_notebook(cells=list(cells)))
    return BeautifulSoup(page, "html.parser")


def test_text_that_means_something_to_typst_is_text():
    words = pdf_of(new_markdown_cell(SPECIAL)).words
    for each in (
        "#let x",
        "@ref",
        "-- dash",
        "... dots",
        "= no heading",
        "// no comment",
        "/* none */",
        "\"quoted\" 'single'",
    ):
        assert each in words


def test_links_are_links_in_headings_too():
    cell = new_markdown_cell(
        "# See [the docs](https://example.org/docs)\n\n[Guide](https://example.org/g?a=1#b), www.example.org"
    )
    assert pdf_of(cell).links == ["https://example.org/docs", "https://example.org/g?a=1#b", "http://www.example.org"]
    assert [link["href"] for link in html_of(cell).select("a:not(.anchor)")] == pdf_of(cell).links
    assert "example.org/docs" not in pdf_of(cell).text


def test_addresses_are_printed_on_request():
    cell = new_markdown_cell("[Guide](https://example.org/g) and <https://example.org/h>")
    words = pdf_of(cell, show_addresses=True).words
    assert "Guide (https://example.org/g)" in words
    assert words.count("example.org/h") == 1


@pytest.mark.parametrize(
    "target",
    [
        "# Größe und β",
        '<a id="there"></a>Text',
        '<a name="there"></a>',
        '<h2 id="there">Title</h2>',
        '<p id="there">x</p>',
    ],
)
def test_links_within_the_document_jump(target):
    name = "#Größe-und-β" if target.startswith("#") else "#there"
    pdf = pdf_of(
        new_markdown_cell(f"[forward]({name})"), new_markdown_cell(target), shown(text__html=f'<a href="{name}">b</a>')
    )
    assert pdf.jumps == 2
    page = html_of(new_markdown_cell(f"[forward]({name})"), new_markdown_cell(target))
    assert page.find(id=page.a["href"][1:])


@pytest.mark.parametrize(
    "link",
    ["[a](#nowhere)", "[a](javascript:alert(1))", "<a href='JaVa&#9;Script:x'>a</a>", "[a](data:text/html,x)",
     "[a](file:///etc/passwd)", "[a](vbscript:x)", "<a>a</a>", "<a href='\u2028javascript:x'>a</a>"],
)  # fmt: skip
@pytest.mark.parametrize("cell", [new_markdown_cell, lambda html: shown(text__html=html)])
def test_links_to_nowhere_and_unsafe_ones_are_text(link, cell):
    pdf = pdf_of(cell(link))
    assert pdf.links == []
    assert pdf.jumps == 0
    assert not html_of(cell(link)).select("a[href]")


def test_nothing_that_runs_or_loads_gets_into_the_page():
    page = html_of(
        shown(
            text__html='<b onclick="x()" style="background-image: url(https://a.org/x); color: red">b</b>'
            '<link href="https://a.org/s.css"><style>@import "x"</style><form action="//a"><input value=v></form>'
            '<svg onload="x()"><script>x()</script></svg><math href="javascript:x()" onclick="x()"><mi>a</mi></math>'
        )
    )
    body = str(page.main)
    assert not re.search(r"onclick|url\(|<link|@import|<input|javascript:|action=", body)
    assert "color: #ff0000" in body


@pytest.mark.parametrize("length", [40, 300, 5000])
@pytest.mark.parametrize("char", ["k", "█"])
def test_long_words_break_everywhere(length, char):
    word = char * length
    cells = [
        new_markdown_cell(f"{word}\n\n- `{word}`\n\n> {word}\n\n```\n{word}\n```\n\n# {word}"),
        new_code_cell(
            f'"{word}"', outputs=[new_output("stream", name="stdout", text=f"{word}\n\x1b[31m{word}\x1b[0m")]
        ),
        shown(text__html=f"<p>{word}</p>"),
    ]
    pdf = pdf_of(*cells)
    assert extent(pdf)[1] <= TEXT[1]
    assert "".join(pdf.text.split()).count(char) >= 8 * length


def test_a_word_breaks_where_its_author_lets_it():
    word = "<wbr>".join(["abcdefgh"] * 30)
    assert extent(pdf_of(new_markdown_cell(word)))[1] <= TEXT[1]


def test_many_long_lines_in_code_and_output():
    text = "\n".join(f"{n:04}" + "A" * 120 for n in range(1000))
    cell = new_code_cell(text, outputs=[new_output("stream", name="stdout", text=text)])
    pdf = pdf_of(cell)
    assert pdf.text.count("0999A") == 2
    assert extent(pdf)[1] <= TEXT[1]


def test_a_rule_is_drawn_across_the_page(tmp_path):
    notebook = new_notebook(cells=[new_markdown_cell("Above\n\n---\n\nBelow"), new_markdown_cell("<hr>")])
    main, _ = TypstPDFExporter().write_project(tmp_path, notebook)
    assert main.read_text().count("#rule") == 2


@pytest.mark.parametrize(
    ("markdown", "words"),
    [
        ("3. three\n4. four", "3. three 4. four"),
        ("- [x] done\n- [ ] open", "• ☑ done • ☐ open"),
        ("~~gone~~ H<sub>2</sub>O <kbd>Ctrl</kbd>", "gone H2O Ctrl"),
        ("> quoted\n> twice", "quoted twice"),
        ("<details><summary>More</summary>inside</details>", "More inside"),
        ("<dl><dt>term</dt><dd>meaning</dd></dl>", "term meaning"),
        ("one<br>two<br/>three", "one two three"),
        ("a &lt; b &amp;&nbsp;c &copy;", "a < b & c ©"),
        ('<ol type="a" start="2"><li>x</li></ol>', "b. x"),
        ("long<wbr>word here, then more", "longword here, then more"),
        ("<p>one<wbr>two</p>", "onetwo"),
        ('<picture><source srcset="a.webp"><b>kept</b></picture>', "kept"),
        ('<video><source src="a.mp4"><track src="a.vtt"></video> rest', "[video: a.mp4] rest"),
        ("shown<span hidden>no</span><b style='display: none'>no</b> end", "shown end"),
        ("<progress value=3 max=10></progress> <plaintext>rest", "3 / 10 rest"),
        ("<select><option>a</select><textarea>typed</textarea>", "typed"),
        ("<ol><li>x<li value=7>y</ol>", "1. x 7. y"),
        (f"[far](https://example.org/{'q' * 9000})", "far"),
        ("| a | b |\n|---|---|\n| `x\\|y` | z |", "a b x|y z"),
        ("term\n\n    indented $code$\n    \\begin{align}", "indented $code$ \\begin{align}"),
    ],
)
def test_elements_of_markdown_and_html(markdown, words):
    assert words in pdf_of(new_markdown_cell(markdown)).words.replace("\u00a0", " ")


def test_scripts_from_right_to_left_keep_their_order(tmp_path):
    cells = [
        new_markdown_cell("שלום עולם abc"),
        new_markdown_cell("<div dir='rtl'>5 abc</div>"),
        new_markdown_cell("abc שלום"),
    ]
    main, _ = TypstPDFExporter().write_project(tmp_path, new_notebook(cells=cells))
    assert main.read_text(encoding="utf-8").count("#right-to-left") == 2


def test_characters_without_a_font_are_named():
    pdf = pdf_of(new_markdown_cell("Known: é → ∑. Unknown: \U0001e900\U0001e901, \U0001e900 again."))
    assert len(pdf.problems) == 1
    assert all(char in pdf.problems[0] for char in "\U0001e900\U0001e901")
    assert pdf.problems[0].count("\U0001e900") == 1
    assert "nbconvert-typst[fonts]" in pdf.problems[0]


def test_fonts_of_a_folder_and_of_installed_wheels_are_used(tmp_path, monkeypatch):
    (tmp_path / "noto_cjk_sans_otc").mkdir()
    (tmp_path / "noto_cjk_sans_otc" / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    assert str(tmp_path / "noto_cjk_sans_otc") in font_folders()
    assert pdf_of(new_markdown_cell("text"), font_paths=[str(tmp_path)]).problems == []


@pytest.mark.parametrize(
    ("value", "written"),
    [("rgba(0,0,0,0)", None), ("#00000000", None), ("#ff000033", "#ff000033"), ("rgb(0 128 0)", "#008000"),
     ("currentColor", None), ("nonsense", None)],
)  # fmt: skip
def test_colours_of_css(value, written):
    assert rgba(value) == written


def test_no_heading_takes_the_name_of_the_pages_own_switch():
    assert html_of(new_markdown_cell("# Show code")).h1["id"] == "show-code-2"


def test_text_that_wants_no_formulas_gets_none():
    pdf = pdf_of(shown(text__html='<p class="tex2jax_ignore">$5 and $6</p><p class="mathjax_ignore">$x$</p>'))
    assert "$5 and $6 $x$" in pdf.words


def test_tabs_stop_where_a_terminal_stops():
    assert wrapped("name\tqty\nlongername\t5") == "name    qty\nlongername      5"


def test_long_output_takes_seconds():
    text = "\n".join(f"line {number}" for number in range(20_000))
    before = time.process_time()
    pdf = pdf_of(new_code_cell("x", outputs=[new_output("stream", name="stdout", text=text)]))
    assert time.process_time() - before < 30  # measured: 3
    assert "line 19999" in pdf.text


def test_headings_skip_no_level_and_have_one_anchor_each():
    page = html_of(new_markdown_cell("# A\n\n#### B\n\n# A\n\n<h3>C</h3>"))
    headings = page.main.find_all(["h1", "h2", "h3", "h4"])
    assert [heading.name for heading in headings] == ["h1", "h2", "h1", "h2"]
    assert len({heading["id"] for heading in headings}) == 4


def test_what_floats_ends_with_its_output():
    page = html_of(shown(text__html='<div style="float: left; padding: 10px">left</div>'), new_markdown_cell("After"))
    result = page.select_one("div.result")
    assert result.div["style"] == "float: left"
    assert "After" not in result.text
    assert ".result { display: flow-root" in str(page.head)
