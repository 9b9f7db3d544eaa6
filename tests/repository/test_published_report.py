"""The published report can be read: no table is set below 85 % of the text's size, no claim is without a reason."""

import json

import pytest
from nbconvert_typst import TypstPDFExporter

from lib.notebook.parameters import Plan, chapters
from lib.system import paths
from longtail_writeup.report import front
from longtail_writeup.report.document import Execution, assemble, exhibits

SIZES = "(9.5pt, 9pt, 8.5pt, 8pt, 7.5pt, 7pt)"


@pytest.fixture(scope="module")
def executions():
    folder = paths.PUBLISHED / "writeup"
    return [Execution(name, folder / f"{name}.ipynb", 1.0, None, 1) for name in chapters("writeup")]


def test_tables_fit_the_page_at_nine_points(executions, tmp_path):
    """The text has 10.5 points; a table that does not fit at 9 would be set in blocks, with the label <split>."""
    typst = pytest.importorskip("typst")
    appendix, origins = front.appendix(Plan.of("writeup"), executions)
    facts = [("Date", "today")]
    document = assemble([e.path for e in executions], "T", facts, appendix=appendix, origins=origins)
    exporter = TypstPDFExporter(metadata_key="writeup", show_code=False)
    main, _ = exporter.write_project(tmp_path, document)
    style = (tmp_path / "style.typ").read_text()
    assert SIZES in style
    (tmp_path / "style.typ").write_text(style.replace(SIZES, "(9.5pt, 9pt)"))
    assert json.loads(typst.query(main, "<split>", root=tmp_path)) == []
    assert len(json.loads(typst.query(main, "figure.where(kind: table)", root=tmp_path))) > 8


def test_every_run_that_the_report_shows_is_kept_with_its_parameter_file(executions):
    shown = {key for e in executions for note in exhibits(e.notebook) for key in note["runs"]}
    assert shown
    for key in shown:
        record = json.loads((paths.PUBLISHED / "writeup" / "runs" / key / "record.json").read_text())["record"]
        assert (paths.ROOT / record["origin"].split(" with ")[0]).is_file(), key
