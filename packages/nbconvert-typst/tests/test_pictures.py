"""Pictures: by their first bytes, in the size that was asked for, and a note where there is none."""

import io

import pytest
import typst
from every_output import encoded, pdf_of, picture, shown
from nbconvert_typst import ReportHTMLExporter
from nbconvert_typst.css import css_length, css_size
from nbconvert_typst.errors import PictureError
from nbconvert_typst.pictures import picture_of
from nbformat.v4 import new_markdown_cell, new_notebook
from PIL import Image

TEXT_WIDTH = 459  # points, of an A4 page with its margins
PNG = picture("PNG")
SVG = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 80 40"><rect width="80" height="40" fill="red"/></svg>'


def markdown(text: str, data: bytes = PNG, name: str = "a.png"):
    cell = new_markdown_cell(text)
    cell["attachments"] = {name: {"image/png": encoded(data)}}
    return cell


@pytest.mark.parametrize(
    ("data", "suffix"),
    [
        (PNG, "png"), (picture("JPEG"), "jpg"), (picture("GIF"), "gif"), (picture("WEBP"), "webp"),
        (picture("BMP"), "png"), (picture("TIFF"), "png"), (picture("ICO"), "png"), (SVG.encode(), "svg"),
        (b"<?xml version='1.0'?>\n<!-- made by hand -->\n<!DOCTYPE svg>\n" + SVG.encode(), "svg"),
        (b"\xef\xbb\xbf" + SVG.encode(), "svg"),
    ],
)  # fmt: skip
def test_the_format_is_that_of_the_first_bytes(data, suffix):
    assert picture_of(data).suffix == suffix


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "no data"),
        (b"hello", "not a known picture format"),
        (PNG[:60], "truncated PNG"),
        (picture("JPEG", (400, 400))[:700], "truncated JPEG"),
        (PNG[:41] + b"\0\0\0\0" + PNG[45:], "damaged PNG"),
        (b"%PDF-1.7\n", "damaged PDF"),
        (b"<svg><g></svg>", "malformed SVG"),
    ],
)
def test_what_cannot_be_read_is_an_error_with_its_reason(data, reason):
    with pytest.raises(PictureError, match=reason):
        picture_of(data)


@pytest.mark.parametrize("mime", ["image/png", "image/jpeg", "image/gif", "image/svg+xml", "image/bmp"])
@pytest.mark.parametrize("data", [picture("JPEG"), PNG, picture("WEBP")])
def test_a_wrong_label_does_no_harm(mime, data):
    assert len(pdf_of(shown(**{mime: encoded(data)})).pictures) == 1


@pytest.mark.parametrize(
    ("text", "reason"),
    [("!!!", "not base64"), ("", "no data"), (encoded(PNG[:60]), "truncated PNG"), (encoded(b"x"), "not a known")],
)
@pytest.mark.parametrize("mime", ["image/png", "image/jpeg"])
def test_a_bad_picture_leaves_a_note_and_the_rest(text, reason, mime):
    pdf = pdf_of(shown(**{mime: text, "text/plain": "<Figure>"}), new_markdown_cell("After."))
    assert f"[picture cannot be read: {reason}" in pdf.words
    assert "<Figure>" in pdf.words
    assert "After." in pdf.text
    assert [problem.split(":")[0] for problem in pdf.problems] == ["cell 1"]


def test_a_bad_picture_does_not_hide_another_form_of_the_output():
    pdf = pdf_of(shown(image__png="!!!", text__html="<b>as text</b>"))
    assert "as text" in pdf.text
    assert len(pdf.problems) == 1


def test_a_picture_that_only_typst_rejects_leaves_a_note_within_its_text():
    empty = '<svg xmlns="http://www.w3.org/2000/svg" width="0" height="0"/>'
    pdf = pdf_of(new_markdown_cell(f"Before {empty} after **bold**."), shown(image__svg__xml=empty))
    assert "Before [picture cannot be read: failed to parse SVG" in pdf.words
    assert "after bold." in pdf.words


@pytest.mark.parametrize(
    ("metadata", "size"),
    [
        ({}, (60, 30)),  # 80 by 40 pixels of 0.75 points
        ({"width": 40}, (30, 15)),
        ({"width": "40"}, (30, 15)),
        ({"width": "40px"}, (30, 15)),
        ({"width": "50%"}, (TEXT_WIDTH / 2, TEXT_WIDTH / 4)),
        ({"width": "1in"}, (72, 36)),
        ({"height": 100}, (150, 75)),
        ({"width": 40, "height": 40}, (30, 30)),
        ({"width": 3000}, (TEXT_WIDTH, TEXT_WIDTH / 2)),
        ({"height": 9000}, (TEXT_WIDTH, TEXT_WIDTH / 2)),
        ({"width": "no size"}, (60, 30)),
    ],
)
def test_an_output_has_the_size_that_its_metadata_ask_for(metadata, size):
    pdf = pdf_of(shown({"image/png": metadata}, image__png=encoded(PNG)))
    assert pdf.pictures == [pytest.approx(size, abs=1)]


@pytest.mark.parametrize(
    ("attributes", "size"),
    [
        ("", (60, 30)),
        ('width="40"', (30, 15)),
        ('height="100px"', (150, 75)),
        ('width="2000"', (TEXT_WIDTH, TEXT_WIDTH / 2)),
        ('style="width:40px"', (30, 15)),
        ('style="border: 0; WIDTH : 50% !important"', (TEXT_WIDTH / 2, TEXT_WIDTH / 4)),
        ('style="max-width: 10px" width="80"', (60, 30)),
    ],
)
@pytest.mark.parametrize("around", ["{}", "<div>{}</div>", "<center><p>{}</p></center>"])
def test_a_picture_in_html_has_the_size_that_its_attributes_ask_for(attributes, size, around):
    pdf = pdf_of(markdown(around.format(f'<img src="attachment:a.png" {attributes}>')))
    assert pdf.pictures == [pytest.approx(size, abs=1)]


def test_a_high_picture_stays_on_its_page():
    pdf = pdf_of(shown(image__png=encoded(picture("PNG", (10, 4000)))))
    assert pdf.pictures[0][1] < 700
    assert len(pdf.pages) <= 2


def test_a_picture_in_a_table_stays_in_its_column():
    row = '| <img src="attachment:a.png" width="900"> | <img src="attachment:a.png" width="900"> |'
    pdf = pdf_of(markdown(f"| a | b |\n|---|---|\n{row}"))
    assert len(pdf.pictures) == 2
    assert sum(width for width, _ in pdf.pictures) <= TEXT_WIDTH + 1


@pytest.mark.parametrize("name", ["my dot.png", "my%20dot.png", "./my dot.png", "my dot.png?raw=true"])
def test_a_picture_beside_the_notebook_is_taken_along(tmp_path, name):
    (tmp_path / "my dot.png").write_bytes(PNG)
    assert len(pdf_of(new_markdown_cell(f"![dot](<{name}>)"), folder=tmp_path).pictures) == 1


def test_pictures_outside_the_notebooks_folder_stay_out(tmp_path):
    inside = tmp_path / "inside"
    inside.mkdir()
    (tmp_path / "secret.png").write_bytes(PNG)
    (inside / "link.png").symlink_to(tmp_path / "secret.png")
    names = ("../secret.png", str(tmp_path / "secret.png"), "link.png", f"file://{tmp_path}/secret.png")
    pdf = pdf_of(new_markdown_cell(" ".join(f"![a]({name})" for name in names)), folder=inside)
    assert pdf.pictures == []
    assert pdf.words.count("[picture not") == 4


def test_pictures_that_are_missing_or_elsewhere_leave_their_description():
    pdf = pdf_of(new_markdown_cell("![a curve](gone.png) ![a dot](https://example.org/dot.png)"))
    assert "[picture not found: gone.png, a curve]" in pdf.words
    assert "[picture not included: https://example.org/dot.png, a dot]" in pdf.words
    assert pdf.links == ["https://example.org/dot.png"]


def test_html_shows_sizes_and_pdfs():
    page = typst.compile(b"#set page(width: 4cm, height: 2cm)\nplot")
    cells = [
        shown({"image/png": {"width": "50%", "height": 20}}, image__png=encoded(PNG)),
        shown(application__pdf=encoded(page)),
        markdown('<img src="attachment:a.png" style="width: 30%" onerror="alert(1)">'),
    ]
    html, _ = ReportHTMLExporter().from_notebook_node(new_notebook(cells=cells))
    assert 'style="width: 50%; height: 20px; object-fit: contain"' in html
    assert "data:image/svg+xml;base64," in html
    assert 'style="width: 30%"' in html
    assert "onerror" not in html


def test_a_picture_in_html_keeps_its_form_where_it_has_to_be_narrower():
    wide = shown({"image/png": {"width": 1600, "height": 500}}, image__png=encoded(PNG))
    html, _ = ReportHTMLExporter().from_notebook_node(new_notebook(cells=[wide]))
    assert 'style="width: 1600px; aspect-ratio: 1600 / 500"' in html


def test_a_photograph_has_the_width_that_it_has_when_turned():
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (300, 100), "red").save(buffer := io.BytesIO(), "JPEG", exif=exif)
    assert picture_of(buffer.getvalue()).pixels == 100


@pytest.mark.parametrize(
    "svg",
    [
        "<svg width=100 height=50><rect width=100 height=50 /></svg>",
        '<svg viewBox="0 0 9 9"><use xlink:href="#a"/><rect id="a" width="9" height="9"/></svg>',
        '<svg viewBox="0 0 9 9"><rect id="a&nbsp;b & c" width="9" height="9"/></svg>',
        '<svg viewBox="0 0 9 9"><svg><rect width="9" height="9"/></svg><rect width="1" height="1"/></svg>',
        '<svg viewBox="0 0 9 9"><image href="https://example.org/a.png"/><rect width="9" height="9"/></svg>',
        '<svg viewBox="0 0 9 9"><image xlink:href="file:///etc/passwd"/><rect width="9" height="9"/></svg>',
    ],
)
@pytest.mark.parametrize("cell", [new_markdown_cell, lambda html: shown(text__html=html)])
def test_svg_is_read_as_browsers_read_it(svg, cell):
    pdf = pdf_of(cell(f"Before {svg} after"))
    assert pdf.problems == []
    assert "Before after" in pdf.words


def test_the_toolbar_of_colabs_tables_is_hidden_and_its_icon_is_no_problem():
    svg = '<svg height="24px"viewBox="0 0 24 24" width="24px"><g><path d="M0 0h24v24z"/></g></svg>'
    assert len(pdf_of(shown(text__html=f"<p>a</p>{svg}")).problems) == 0
    table = (
        f'<div class="colab-df-container"><table><tr><td>5</table><button style="display:none;">{svg}</button></div>'
    )
    pdf = pdf_of(shown(text__html=table))
    assert pdf.problems == []
    assert "5" in pdf.words


def test_svg_in_a_script_is_no_picture():
    pdf = pdf_of(shown(text__html='<b>value</b><script>x = "<svg width=1></svg>"</script>'))
    assert pdf.problems == []
    assert "value" in pdf.text


@pytest.mark.parametrize(
    ("value", "length"),
    [("50%", "50%"), (" 3 cm ", "3cm"), (300, "300px"), (1.5, "1.5px"), ("auto", None), ("calc(1px)", None),
     (None, None), (True, None), (0, None), ("-5px", None), ("1e9", None)],
)  # fmt: skip
def test_sizes_of_css(value, length):
    assert css_length(value) == length


def test_a_style_comes_before_the_attribute():
    assert css_size({"width": "10", "height": "20", "style": "width: 5em"}) == ("5em", "20px")
