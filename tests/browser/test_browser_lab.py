"""The steps of a person in JupyterLab, in a real one."""

import json
import re
import time

import nbformat
import pytest
from headless_browser import SHOTS, served, violations
from nbformat.v4 import new_markdown_cell, new_notebook

from lib.notebook import parameters
from lib.system import paths

pytestmark = pytest.mark.browser

TOKEN = "let-me-in"
PORT = 18899


@pytest.fixture(scope="module")
def lab(workplace):
    command = ["jupyter-lab", "--no-browser", "--allow-root", f"--port={PORT}", f"--IdentityProvider.token={TOKEN}"]
    command += ["--notebook-dir=notebooks"]
    with served(command, f"http://127.0.0.1:{PORT}/api", workplace) as url:
        yield url.removesuffix("/api")


def opened(browser, lab, name):
    """A notebook in JupyterLab, all its cells started."""
    page = browser.new_page(viewport={"width": 1400, "height": 1100})
    page.set_default_timeout(60_000)
    page.goto(f"{lab}/lab/workspaces/{name}/tree/{name}.ipynb?token={TOKEN}")
    page.get_by_text("Python 3 (ipykernel) | Idle").wait_for()
    if name == "explore":
        page.get_by_role("button", name="No", exact=True).click()  # to news of Jupyter, asked once
        menu(page, "View", "Collapse All Code")
    menu(page, "Run", "Run All Cells")
    return page


def menu(page, *names):
    for name in names:
        # A menu's entry has its shortcut in its name.
        page.get_by_role("menuitem", name=re.compile(rf"^{name}( .*)?$")).first.click()


def shot(page, name, heading=""):
    """A picture of the page, from this heading on."""
    if heading:
        page.get_by_role("heading", name=heading).evaluate("heading => heading.scrollIntoView()")
        page.wait_for_timeout(300)  # for the notebook to draw what came into view
    SHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SHOTS / f"{name}.png")


@pytest.fixture(scope="module")
def explore(browser, lab):
    page = opened(browser, lab, "explore")
    page.get_by_role("button", name="Save as parameter file").wait_for()
    yield page
    page.close()


def source(page, alt):
    return page.locator(f"img[alt^='{alt}']").get_attribute("src")


def changed(page, alt, before, seconds=20):
    """Wait until a picture is another one; seconds that it took."""
    start = time.monotonic()
    while source(page, alt) == before:
        assert time.monotonic() - start < seconds, f"the picture stays: {alt}"
        time.sleep(0.01)
    return time.monotonic() - start


def test_the_beta_slider_moves_the_weights(explore):
    slider = explore.locator("[role=slider]").nth(1)
    slider.scroll_into_view_if_needed()
    times = []
    for _ in range(5):
        before = source(explore, "Four plots")
        slider.press("ArrowRight")
        times.append(changed(explore, "Four plots", before))
    print("seconds from key to picture:", [round(t, 2) for t in times])
    assert (
        min(times) < 0.5
    )  # drawing takes less than 0.1 (tests/integration/test_explore.py); here with a browser beside it
    shot(explore, "loss", "The loss")


def test_the_factor_changes_the_batch(explore):
    slider = explore.locator("[role=slider]").nth(0)
    before = source(explore, "Left: a bar")
    slider.press("ArrowLeft")
    changed(explore, "Left: a bar", before)
    assert "A batch of 32 holds" in explore.content()
    shot(explore, "longtail", "The long tail")


def test_picking_runs_compares_them(explore):
    table = explore.locator("table.dataTable", has=explore.locator("tbody tr"))
    table.scroll_into_view_if_needed()
    before = source(explore, "Test accuracy by epoch")
    table.locator("tbody tr").first.click()
    changed(explore, "Test accuracy by epoch", before)
    explore.locator(".dt-search input").last.fill("CB-Focal")
    explore.wait_for_function("document.querySelectorAll('table.dataTable tbody tr').length == 1")
    explore.locator(".dt-search input").last.fill("")
    explore.wait_for_function("document.querySelectorAll('table.dataTable tbody tr').length == 2")
    before = source(explore, "Test accuracy by epoch")
    table.locator("tbody tr").first.click()
    changed(explore, "Test accuracy by epoch", before)
    shot(explore, "runs", "The runs")


def test_a_cell_of_the_confusion_matrix_shows_its_images(explore):
    cells = explore.locator("td[role=gridcell]")
    assert cells.count() == 100
    filled = [n for n in range(100) if cells.nth(n).inner_text() not in ("0", "")]
    before = source(explore, "Test images of one cell")
    cells.nth(filled[0]).click()
    changed(explore, "Test images of one cell", before)
    words = re.match(r"\w+ predicted as \w+", cells.nth(filled[0]).get_attribute("title"))
    assert explore.get_by_text(words[0]).count() >= 1
    shot(explore, "mistakes", "The mistakes")


def test_axe_finds_no_serious_fault_in_what_the_notebook_shows(explore):
    assert violations(explore, ".jp-OutputArea-output") == []


def field(page, label):
    """The input that stands beside a label of the form."""
    return page.locator(".widget-inline-hbox", has=page.get_by_text(label, exact=True)).locator("input, select").last


def test_two_epochs_are_two_points_and_the_run_is_stored(explore, workplace):
    form = {"imbalance factor": "0.1", "epochs": "2", "batch size": "16"}
    field(explore, "model").select_option("TwoLayerNet")
    for label, value in form.items():
        field(explore, label).fill(value)
        field(explore, label).press("Enter")
    before = {p.parent.name for p in workplace.glob("outputs/runs/*/record.json")}
    explore.locator("button:has-text('Train')").last.click()
    explore.get_by_text("Done:").last.wait_for()
    (stored,) = {p.parent.name for p in workplace.glob("outputs/runs/*/record.json")} - before
    record = json.loads((workplace / "outputs" / "runs" / stored / "record.json").read_text())["record"]
    assert len(record["history"]) == 2
    figure = explore.locator("svg[aria-label^='Line plots over the epochs']").last
    figure.scroll_into_view_if_needed()
    assert figure.locator("use").count() >= 2 * (5 + 10)  # two points on each line
    explore.locator("button:has-text('Train'):enabled").last.wait_for()
    shot(explore, "training", "Try it")
    explore.get_by_role("heading", name="The runs").evaluate("heading => heading.scrollIntoView()")
    explore.get_by_text("of 3 entries").wait_for()  # the new one is there to be compared


def test_nonsense_in_the_form_is_one_sentence(explore):
    field(explore, "β").fill("1.5")
    field(explore, "β").press("Enter")
    explore.locator("button:has-text('Train')").last.click()
    explore.get_by_text("less than or equal to 1, not 1.5").last.wait_for()
    field(explore, "β").fill("0.9")
    field(explore, "β").press("Enter")


def test_a_saved_parameter_file_is_on_disk_and_valid(explore, workplace):
    explore.get_by_role("button", name="Save as parameter file").click()
    explore.get_by_text("Saved as").wait_for()
    file = workplace / "params" / "mine" / "beta_sweep.yaml"
    values = parameters.read(file, paths.NOTEBOOKS / "beta_sweep.ipynb")
    assert (values["model"], values["epochs"], values["betas"]) == ("TwoLayerNet", 2, [0.9])
    assert f"-f {file}" in explore.content()


def test_stop_ends_a_training_from_the_page(explore):
    field(explore, "epochs").fill("5000")
    field(explore, "epochs").press("Enter")
    explore.locator("button:has-text('Train')").last.click()
    explore.get_by_text("/5000 · test").last.wait_for()
    explore.locator("button:has-text('Stop')").last.click()
    explore.get_by_text(re.compile(r"Stopped after \d+ of 5000 epochs. Train continues from there.")).first.wait_for()
    explore.locator("button:has-text('Train'):enabled").last.wait_for()
    shot(explore, "stopped", "Try it")


def test_a_training_says_how_far_it_is_also_after_a_reload(browser, lab):
    page = opened(browser, lab, "convnet")
    line = page.get_by_text("Reloading the page stops this display").first
    line.wait_for()
    page.get_by_text(re.compile(r"epoch \d+/5000 · .*% · [\d,]+ images/s · [\d:]+ left")).first.wait_for()
    line.evaluate("line => line.scrollIntoView({block: 'center'})")  # the line is replaced again and again
    shot(page, "progress")
    page.keyboard.press("Control+s")
    page.wait_for_timeout(2000)  # for the notebook to be saved
    page.reload()
    line.wait_for()
    menu(page, "Kernel", "Interrupt Kernel")
    page.close()


def test_the_index_leads_to_notebooks_and_to_the_repository(browser, tmp_path):
    """`make lab` at the repository's root."""
    command = ["jupyter-lab", "--no-browser", "--allow-root", f"--port={PORT + 2}", f"--IdentityProvider.token={TOKEN}"]
    command += [f"--notebook-dir={paths.ROOT}", "--LabApp.default_url=/lab/tree/notebooks/index.ipynb"]
    with served(command, f"http://127.0.0.1:{PORT + 2}/api", tmp_path) as url:
        page = browser.new_page(viewport={"width": 1400, "height": 1100})
        page.set_default_timeout(60_000)
        page.goto(f"{url.removesuffix('/api')}/?token={TOKEN}")
        page.get_by_role("heading", name="Start here").wait_for()
        page.get_by_role("button", name="No", exact=True).click()  # to news of Jupyter
        shot(page, "index")
        page.get_by_role("link", name="lib/losses.py").click()
        page.get_by_text("Cross-entropy and focal loss, each plain or class-balanced").first.wait_for()
        page.close()


def test_an_interrupted_training_keeps_its_figure_and_says_how_to_go_on(browser, lab):
    page = opened(browser, lab, "convnet")
    page.locator("img[alt^='Line plots over the epochs']").first.wait_for()  # the figure has begun to grow
    assert violations(page, ".jp-OutputArea-output") == []
    menu(page, "Kernel", "Interrupt Kernel")
    said = page.get_by_text("of 5000 epochs; run it again to continue").first
    said.wait_for()
    assert "Traceback" not in page.content()
    said.scroll_into_view_if_needed()
    shot(page, "interrupted")
    page.close()


@pytest.mark.parametrize(("entry", "begins"), [("Typst_pdf", "%PDF-"), ("Report_html", "<!DOCTYPE html>")])
def test_the_export_menu_offers_both_exporters_and_they_work(browser, lab, workplace, entry, begins):
    kernel = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
    small = new_notebook(cells=[new_markdown_cell("# Title\n\n$x^2$")], metadata={"kernelspec": kernel})
    nbformat.write(small, workplace / "notebooks" / "small.ipynb")
    page = browser.new_page(viewport={"width": 1400, "height": 1100})
    page.goto(f"{lab}/lab/workspaces/{entry}/tree/small.ipynb?token={TOKEN}")
    page.get_by_text("Python 3 (ipykernel) | Idle").wait_for(timeout=60_000)
    menu(page, "File")
    page.get_by_text("Save and Export Notebook As").first.click()
    assert not page.get_by_role("menuitem").filter(has_text="-pdf").count()  # the server accepts no hyphen in a name
    answers = []
    page.context.on("response", lambda answer: "/nbconvert/" in answer.url and answers.append(answer))
    page.get_by_role("menuitem").get_by_text(entry).first.click()
    while not answers:
        page.wait_for_timeout(100)
    assert answers[0].status == 200
    assert "small." in answers[0].headers["content-disposition"]
    read = "async url => (await (await fetch(url)).text()).slice(0, 15)"
    assert page.evaluate(read, answers[0].url).startswith(begins)
    page.close()
