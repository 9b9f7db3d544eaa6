"""Cells and outputs: each is shown, or something says what stood in its place."""

import pytest
import typst
from every_output import display, dot, encoded, pdf_of, picture, shown
from nbconvert_typst import TypstPDFExporter
from nbconvert_typst.captions import Captions
from nbconvert_typst.cells import CellReader, Wanted
from nbconvert_typst.reading import Reading
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output, new_raw_cell

PLOTLY = {"application/vnd.plotly.v1+json": {"data": []}, "text/html": '<div id="p"></div><script>draw("p")</script>'}
WIDGET = {"application/vnd.jupyter.widget-view+json": {"model_id": "m"}, "text/plain": "IntSlider(value=3)"}
ALTAIR = {"application/vnd.vegalite.v5+json": {"mark": "bar"}, "text/plain": "alt.Chart(...)"}


def output(data: dict, **more):
    return new_code_cell("x", outputs=[new_output("display_data", data=data, **more)])


@pytest.mark.parametrize(("data", "library"), [(PLOTLY, "plotly"), (WIDGET, "widget"), (ALTAIR, "vega")])
def test_an_interactive_output_is_named(data, library):
    assert f"[interactive output ({library}): open the notebook to see it]" in pdf_of(output(data)).words


@pytest.mark.parametrize(
    ("html", "library"),
    [
        ('<div id="altair-viz"></div><script>vegaEmbed("#altair-viz", spec)</script>', "vega"),
        ('<div class="bk-root"></div><script>Bokeh.embed()</script>', "bokeh"),
        ("<canvas></canvas><script>draw()</script>", None),
    ],
)
def test_html_that_only_a_script_would_fill_is_named(html, library):
    assert f"[interactive output{f' ({library})' if library else ''}: open" in pdf_of(shown(text__html=html)).words


ANIMATION = """<div class="animation"><img id="_anim_img1"><button>Once</button></div>
<script>frames[0] = "data:image/png;base64,PNG\\
"</script>"""


ITABLE = "<table><thead><tr><th>a</th></tr></thead><tbody>{}</tbody></table><script>load()</script><div></div>"


def test_a_table_that_waits_for_its_script_is_named_and_a_full_one_is_shown():
    waiting = ITABLE.format("<tr><td>Loading ITables v2.4 from the internet... (need help?)</td></tr>")
    assert "[interactive output (itables)" in pdf_of(shown(text__html=waiting)).words
    full = ITABLE.format("".join(f"<tr><td>row {n}</td></tr>" for n in range(40))) + "<!-- Loading ITables -->"
    assert "row 39" in pdf_of(shown(text__html=full)).words


def test_an_animation_shows_its_first_frame():
    pdf = pdf_of(shown(text__html=ANIMATION.replace("PNG", dot("png"))))
    assert len(pdf.pictures) == 1
    assert "[interactive output (matplotlib animation)" in pdf.words
    assert "Once" not in pdf.text


def test_a_progress_bar_keeps_its_text():
    data = {"application/vnd.jupyter.widget-view+json": {"model_id": "m"}, "text/plain": "100%|██| 10/10"}
    assert "open the notebook to see it]: 100%|██| 10/10" in pdf_of(output(data)).words


@pytest.mark.parametrize(
    "data",
    [{"application/javascript": "x()", "text/plain": "<IPython.core.display.Javascript object>"},
     {"text/html": "<script>window.PlotlyConfig = {}</script>"}, {"text/html": "<style>b {}</style>"}],
)  # fmt: skip
def test_scripts_that_only_prepare_something_leave_nothing(data):
    assert pdf_of(output(data)).words == "notebook x 1 / 1"


@pytest.mark.parametrize("html", ['<div id="x"></div>', "<span hidden>no</span>"])
def test_html_that_shows_nothing_gives_way_to_the_text(html):
    assert "IMPORTANT 42" in pdf_of(shown(text__html=html, text__plain="IMPORTANT 42")).text


def test_scikit_learn_shows_its_model_once():
    html = (
        '<style>.sk-text-repr-fallback {display: none}</style><div class="sk-text-repr-fallback"><pre>Model()</pre>'
        '<b>please rerun this cell</b></div><div class="sk-container" hidden><label>Model</label></div>'
    )
    pdf = pdf_of(shown(text__html=html, text__plain="Model()"))
    assert "rerun" not in pdf.text
    assert pdf.text.count("Model()") == 1


def test_the_still_picture_of_an_interactive_output_is_shown():
    pdf = pdf_of(output(PLOTLY | {"image/png": dot("png")}))
    assert len(pdf.pictures) == 1
    assert "interactive" not in pdf.text


@pytest.mark.parametrize(
    ("html", "words", "links"),
    [
        ('<video src="https://a.org/a.mp4"></video>', "[video: https://a.org/a.mp4]", ["https://a.org/a.mp4"]),
        ('<audio controls><source src="sound.ogg"></audio>', "[audio: sound.ogg]", ["sound.ogg"]),
        ('<iframe src="//a.org/map"></iframe>', "[page: https://a.org/map]", ["https://a.org/map"]),
        ('<video src="data:video/mp4;base64,AAAA"></video>', "[video: open the notebook to see it]", []),
        ('<iframe srcdoc="&lt;b&gt;map"></iframe>', "[page: open the notebook to see it]", []),
    ],
)
def test_media_show_their_address(html, words, links):
    pdf = pdf_of(shown(text__html=html))
    assert words in pdf.words
    assert pdf.links == links


def test_an_error_without_a_traceback_shows_its_name_and_value():
    error = new_output("error", ename="ERROR", evalue="the file is missing", traceback=[])
    assert "ERROR: the file is missing" in pdf_of(new_code_cell("x", outputs=[error])).text


@pytest.mark.parametrize("text", ["\n", "  \n", "\x1b[0m\n"])
def test_empty_output_leaves_no_box(text, tmp_path):
    cell = new_code_cell("print()", outputs=[new_output("stream", name="stdout", text=text)])
    main, _ = TypstPDFExporter().write_project(tmp_path, new_notebook(cells=[cell]))
    assert "#verbatim" not in main.read_text()


def test_colours_and_links_of_a_terminal_are_shown(tmp_path):
    text = "\x1b[31mred\x1b[0m and \x1b]8;;https://example.org/log\x07the log\x1b]8;;\x07 \x1b[2K\x1b[?25ldone\n"
    pdf = pdf_of(new_code_cell("x", outputs=[new_output("stream", name="stdout", text=text)]))
    assert "red and the log done" in pdf.words
    assert pdf.links == ["https://example.org/log"]
    content = b"".join(page.get_contents().get_data() for page in pdf.pages)
    assert b"0.76862746 0.14901961 0.11372549" in content  # red as it is printed, #c4261d


LATEX_TABLE = r"""\begin{tabular}{rl}
 & name & \textbf{price}\\
\hline
1 & pear \& apple & $\frac{1}{2}$\\
2 & \multicolumn{2}{l}{none}\\
\end{tabular}"""


def test_a_table_in_latex_becomes_one():
    pdf = pdf_of(shown(text__latex=LATEX_TABLE, text__plain="plain"))
    for words in ("name price", "1 pear & apple", "2 none"):
        assert words in pdf.words
    assert "tabular" not in pdf.text
    assert "plain" not in pdf.text


def test_other_latex_is_text_with_formulas():
    assert "where 𝑥 = 1" in pdf_of(shown(text__latex="where $x = 1$")).words


def test_what_has_no_known_type_is_named():
    unknown = new_code_cell("x", outputs=[new_output("display_data", data={"application/x-molecule": "H2O"})])
    assert "[output of type application/x-molecule]" in pdf_of(unknown).words


def test_an_output_of_a_newer_format_is_named():
    notebook = new_notebook(cells=[new_code_cell("x", outputs=[new_output("stream", text="a")])])
    notebook.cells[0].outputs[0]["output_type"] = "novel"
    blocks = CellReader(notebook, Reading(None), Captions(), Wanted(), "typst").blocks()
    assert [block.tree.text_content() for block in blocks[1:]] == ["[output of unknown type novel]"]


def test_a_cell_keeps_its_number_where_others_were_removed():
    hidden = new_code_cell("x", metadata={"tags": ["remove-cell"]})
    assert pdf_of(hidden, new_markdown_cell("![](gone.png)")).problems[0].startswith("cell 2: ")


def test_another_form_of_a_picture_that_serves_is_no_problem():
    pdf = pdf_of(output({"image/svg+xml": [], "image/png": dot("png")}))
    assert pdf.problems == []
    assert len(pdf.pictures) == 1


def test_latex_with_blank_lines_inside_of_an_environment():
    pdf = pdf_of(shown(text__latex="First.\n\nThen $x$ in \\begin{align}a\n&= b\\end{align}"))
    assert pdf.problems == []
    assert "align" not in pdf.text


@pytest.mark.parametrize("text", ["", "<IPython.core.display.JSON object>"])
def test_json_is_shown_where_there_is_no_text(text):
    assert '"depth": 3' in pdf_of(output({"application/json": {"depth": 3}, "text/plain": text})).text


def test_json_is_shown_where_there_is_nothing_else():
    assert '"depth": 3' in pdf_of(output({"application/json": {"depth": 3}})).text


def test_raw_cells_without_a_format_or_with_this_one_are_kept():
    pdf = pdf_of(
        new_raw_cell("A raw *remark*."),
        new_raw_cell("#strong[In Typst]", metadata={"raw_mimetype": "text/typst"}),
        new_raw_cell("<b>web</b>", metadata={"raw_mimetype": "text/html"}),
        new_raw_cell(r"\LaTeX", metadata={"raw_mimetype": "text/latex"}),
    )
    assert "A raw *remark*." in pdf.text
    assert "In Typst" in pdf.text
    assert "web" not in pdf.text
    assert "LaTeX" not in pdf.text


CELLS = (
    new_markdown_cell("prose"),
    new_raw_cell("rawtext"),
    new_code_cell("code()", outputs=[new_output("stream", name="stdout", text="printed")]),
)


@pytest.mark.parametrize(
    ("option", "missing"),
    [
        ("exclude_markdown", {"prose"}),
        ("exclude_raw", {"rawtext"}),
        ("exclude_input", {"code()"}),
        ("exclude_output", {"printed"}),
        ("exclude_code_cell", {"code()", "printed"}),
    ],
)
def test_parts_are_excluded_as_nbconvert_excludes_them(option, missing):
    text = pdf_of(*CELLS, **{option: True}).text
    assert {word for word in ("prose", "rawtext", "code()", "printed") if word not in text} == missing


@pytest.mark.parametrize("tag", ["remove-cell", "remove_cell", "remove-input", "remove_input", "remove-output"])
def test_the_usual_tags_work(tag):
    cell = new_code_cell(
        "code()", metadata={"tags": [tag]}, outputs=[new_output("stream", name="stdout", text="printed")]
    )
    text = pdf_of(cell, new_markdown_cell("rest")).text
    assert ("code()" in text, "printed" in text) == {
        "cell": (False, False), "input": (False, True), "output": (True, False)
    }[tag[7:]]  # fmt: skip


def test_in_and_out_are_an_option():
    cell = new_code_cell(
        "6 * 7",
        execution_count=3,
        outputs=[new_output("execute_result", data={"text/plain": "42"}, execution_count=3)],
    )
    assert "In [3]:" not in pdf_of(cell).text
    words = pdf_of(cell, show_prompts=True).words
    assert words.index("In [3]: 6 * 7") < words.index("Out [3]: 42")


@pytest.mark.parametrize("image_format", ["GIF", "WEBP", "JPEG", "PNG", "BMP", "TIFF"])
def test_pictures_of_every_format_are_shown(image_format):
    pdf = pdf_of(output({f"image/{image_format.lower()}": encoded(picture(image_format)), "text/plain": "<Image>"}))
    assert len(pdf.pictures) == 1
    assert "<Image>" not in pdf.text


def test_a_pdf_as_output_is_placed():
    drawn = typst.compile(b"#set page(width: 4cm, height: 2cm)\nplot")
    assert "plot" in pdf_of(output({"application/pdf": encoded(drawn), "text/plain": "<Image>"})).text


def test_output_metadata_is_not_trusted():
    pdf = pdf_of(
        output(
            {"image/png": dot("png")},
            metadata={"image/png": {"width": "calc(1px", "height": None}, "typst": {"width": "1em; x", "kind": ["x"]}},
        ),
        new_code_cell("x", metadata={"typst": "x"}, outputs=[display({"typst": "x"}, text__plain="kept")]),
    )
    assert len(pdf.pictures) == 1
    assert "kept" in pdf.text
