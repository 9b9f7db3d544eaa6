"""Text that comes with a record or an error is text in the report: never a picture, a link, an element or code."""

import lxml.html
import pypdf
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output, writes
from synthetic import record

from lib.notebook import exhibits
from lib.notebook.parameters import Plan
from lib.runs.store import Store
from lib.system import paths
from longtail_writeup.report import front
from longtail_writeup.report.document import Execution, assemble, write_report

ATTACKS = [
    "![a](SECRET)",
    "![b](../secret.png)",
    '![c](data:image/png;base64,x" onerror="alert(1))',
    "[d]{onclick=alert(1)} [e](javascript:alert(1)) <https://evil.example> https://evil.example",
    "<img src='SECRET' onerror=alert(1)>",
    "</td></tr></table><script>alert(1)</script><svg onload=alert(1)>",
    "$\\href{javascript:alert(1)}{x}$ \\(y\\) @@0@@ `z` **bold** _italic_ ~~gone~~",
    '#read("SECRET") #image("SECRET") @label <label> {{ 7 * 7 }}',
    "one | two || three",
    "&lt;b&gt; &#60;script&#62;",
    "# Heading",
]


@pytest.fixture(scope="module")
def attacked(tmp_path_factory):
    """A report on one run, everything of which that is text is an attack: the HTML, the PDF's text, the attacks."""
    folder = tmp_path_factory.mktemp("attacked")
    secret = folder / "secret.png"
    secret.write_bytes(b"TOP SECRET")
    attacks = [attack.replace("SECRET", str(secret)) for attack in ATTACKS]
    text = " ; ".join(attacks)
    own = record(0, 0.5).model_copy(update={"origin": text, "machine": {"device": text, "torch": text}})
    shown = {"kind": "table", "name": "t", "caption": "A table.", "runs": [own.key], "first_page": False}
    table = {"text/html": "<table><tr><td>1</td></tr></table>"}
    notebook = new_notebook(
        cells=[
            new_markdown_cell("# A notebook"),
            new_code_cell(outputs=[output(table, {"writeup": shown}), *failed_runs_of(own.experiment, text)]),
        ]
    )
    path, broken = folder / "good.ipynb", folder / "broken.ipynb"
    path.write_text(writes(notebook))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(paths, "PUBLISHED", folder / "published")
        patch.setattr(paths, "RUNS", folder / "runs")
        Store(folder / "runs").put(own, {})
        departure = {"name": "data", "exact": "cifar10", "here": text, "notebooks": ["good"]}
        plan = Plan(profile="smoke", files={}, values={}, departures=[departure])
        executions = [Execution("good", path, 1.0, None, 1), Execution("broken", broken, 1.0, text, 1)]
        appendix, origins = front.appendix(plan, executions)
        options = {"appendix": appendix, "origins": origins, "missing": {"broken": text}}
        document = assemble([path, broken], "T", [("Machine", text)], notice=front.shortened(plan), **options)
        html, pdf = write_report(document, folder / "report")
    pages = "".join(page.extract_text() for page in pypdf.PdfReader(pdf).pages)
    return html.read_text(), pages, attacks


def output(data, metadata=None):
    return new_output("display_data", data=data, metadata=metadata or {})


def failed_runs_of(experiment, reason):
    """The outputs of the cell that names failed runs."""
    made = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exhibits.ipython, "display", lambda data, raw, metadata=None: made.append(output(data, metadata)))
        exhibits.failed([(experiment, reason)])
    return made


def test_an_attack_is_shown_as_the_text_that_it_is(attacked):
    """In the departures, the failed runs, the missing part, the appendix, the origins and the title block."""
    html, pages, attacks = attacked
    shown = " ".join(lxml.html.fromstring(html).text_content().split())
    for attack in attacks:
        assert shown.count(" ".join(attack.split())) >= 6, attack
    squeezed = "".join(pages.split())
    for attack in attacks:
        assert "".join(attack.split()) in squeezed, attack


def test_an_attack_opens_no_file_and_makes_no_element(attacked):
    html, pages, _ = attacked
    assert "TOP SECRET" not in html + pages
    page = lxml.html.fromstring(html)
    for element in page.iter():
        for name, value in element.attrib.items():
            assert not name.lower().startswith("on"), (element.tag, name)
            assert "javascript:" not in value
            saved = value.startswith("data:text/csv;") and "download" in element.attrib  # text that is only saved
            assert saved or "evil.example" not in value
    assert not page.xpath("//img | //iframe | //object | //embed")
    assert not [script for script in page.xpath("//script") if "alert" in script.text_content()]
    assert not page.xpath("//h1[text()='Heading'] | //td//strong | //td//em | //td//a[starts-with(@href, 'http')]")
