"""The page of `make app` as its visitors have it: without code, a mouse, sight, a wide window or another address."""

import json
import re
import time
import urllib.error
import urllib.request
from itertools import pairwise

import pytest
from headless_browser import SHOTS, served, violations
from test_browser_lab import changed, field, source
from test_explore import made

from lib.system import paths

pytestmark = pytest.mark.browser

PORT = 18900


@pytest.fixture(scope="module")
def app(workplace):
    """The server, with its first page made ahead: the URL that it prints."""
    _, script, notebook = made("app")
    command = ["python", str(paths.ROOT / script), "--no-browser", f"--port={PORT}", notebook]
    command += ["--Kernels.cull_idle_timeout=25", "--Kernels.cull_interval=1"]
    with served(command, f"http://127.0.0.1:{PORT}/nowhere", workplace):
        yield re.search(r"http://localhost\S+token=\w+", log(workplace))[0]


def log(workplace):
    return (workplace / "python.log").read_text()


def made_ahead(workplace, pages):
    """Wait for this many pages that have been made for a next visitor."""
    end = time.monotonic() + 120
    while log(workplace).count("Kernel pool of explore.ipynb is filled") < pages:
        assert time.monotonic() < end, log(workplace)
        time.sleep(0.1)


def visit(browser, app, width=1200):
    """A visitor's page, complete, and the addresses outside it that it asked for, which swallow what they are asked."""
    page, outside = browser.new_page(viewport={"width": width, "height": 1000}), []
    page.set_default_timeout(90_000)

    def answer(route):
        if route.request.url.startswith(("http://localhost", "data:", "blob:")):
            route.continue_()
        else:
            outside.append(route.request.url)  # neither answered nor refused

    page.route("**", answer)
    page.goto(app, wait_until="commit")
    page.locator("td[role=gridcell]").first.wait_for()
    page.locator("table.dataTable tbody tr[tabindex='0']").first.wait_for()
    return page, outside


@pytest.fixture(scope="module")
def page(browser, app, workplace):
    made_ahead(workplace, 1)
    start = time.monotonic()
    page, outside = visit(browser, app)
    print(f"seconds to a page with all panels: {time.monotonic() - start:.1f}")
    yield page
    assert outside == []
    page.close()


def test_the_first_page_is_there_soon(browser, app, workplace):
    """It was made ahead; here beside a test, and perhaps a training."""
    made_ahead(workplace, 1)
    start = time.monotonic()
    page = browser.new_page()
    page.goto(app, wait_until="commit")
    page.locator("img[alt^='Left: a bar']").wait_for()
    assert time.monotonic() - start < 10
    page.close()


def test_the_page_has_panels_and_no_code(page):
    before = source(page, "Four plots")
    page.locator("[role=slider]").nth(1).press("ArrowRight")
    changed(page, "Four plots", before)
    said = page.inner_text("body")
    assert "session.begin" not in said
    assert "JupyterLab" not in said
    SHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SHOTS / "app.png")


def test_sliders_have_names_and_speak_values(page):
    factor, beta, gamma = (page.locator("[role=slider]").nth(n) for n in range(3))
    assert [each.get_attribute("aria-label") for each in (factor, beta, gamma)] == ["imbalance factor", "β", "γ"]
    before = source(page, "Four plots")
    beta.press("ArrowLeft")
    changed(page, "Four plots", before)
    shown = page.locator(".widget-readout").nth(1).inner_text()
    assert float(shown) < 1
    page.wait_for_function("shown => document.querySelectorAll('[role=slider]')[1].ariaValueText == shown", arg=shown)


def test_rows_of_the_runs_are_picked_with_the_keyboard(page):
    rows = page.locator("table.dataTable tbody tr")
    before = source(page, "Test accuracy by epoch")
    assert rows.first.get_attribute("aria-selected") == "true"
    rows.first.focus()
    page.keyboard.press("Enter")
    changed(page, "Test accuracy by epoch", before)
    page.wait_for_function("document.querySelectorAll('table.dataTable tbody tr')[0].ariaSelected == 'false'")
    before = source(page, "Test accuracy by epoch")
    page.keyboard.press("Space")
    changed(page, "Test accuracy by epoch", before)
    page.keyboard.press("ArrowDown")
    assert rows.nth(1).evaluate("row => row === document.activeElement")
    page.get_by_role("button", name="Clear").click()
    page.get_by_text("Pick at least one run").first.wait_for()
    rows.first.click()
    rows.nth(1).click()
    page.locator("img[alt^='Test accuracy by epoch']").wait_for()


def test_the_table_sorts_filters_and_is_saved(page):
    rows = page.locator("table.dataTable tbody tr")
    first = rows.first.inner_text()
    page.locator("table.dataTable thead .dtcc-button_order").nth(5).click()
    page.wait_for_function("first => document.querySelector('table.dataTable tbody tr').innerText != first", arg=first)
    with page.expect_download() as saving:
        page.get_by_role("button", name="CSV").click()
    rows = saving.value.path().read_text("utf-8").splitlines()
    assert len(rows) == 3
    assert "CB-Focal" in "".join(rows)
    with page.expect_download() as saving:
        page.get_by_text("Save these curves as CSV").click()
    assert saving.value.path().read_text("utf-8").startswith("setting,seed,key,epoch,")


def test_the_confusion_matrix_is_one_tab_stop_with_arrow_keys(page):
    cells = page.locator("td[role=gridcell]")
    assert page.locator("td[role=gridcell][tabindex='0']").count() == 1
    chosen = page.locator("td[role=gridcell][aria-selected=true]")
    at = cells.evaluate_all("cells => cells.findIndex(cell => cell.ariaSelected == 'true')")
    key, step = ("ArrowLeft", -1) if at % 10 else ("ArrowRight", 1)
    chosen.focus()
    page.keyboard.press(key)
    assert cells.nth(at + step).evaluate("cell => cell === document.activeElement")
    assert chosen.count() == 1
    assert cells.nth(at).get_attribute("aria-selected") == "true"  # focus alone chooses nothing
    page.keyboard.press("Enter")
    said = re.match(r"\w+ predicted as \w+", cells.nth(at + step).get_attribute("title"))[0]
    page.get_by_text(f"{said}: ").first.wait_for()
    assert cells.nth(at + step).get_attribute("aria-selected") == "true"


def test_progress_and_errors_are_told_to_a_screen_reader(page):
    field(page, "β").fill("1.5")
    field(page, "β").press("Enter")
    page.locator("button:has-text('Train')").last.click()
    page.locator("[role=status]", has_text="less than or equal to 1, not 1.5").first.wait_for()
    field(page, "β").fill("0.9")
    field(page, "β").press("Enter")


def test_what_a_visitor_saves_is_downloaded(page, workplace):
    page.get_by_role("button", name="Save as parameter file").click()
    with page.expect_download() as saving:
        page.get_by_text("Download beta_sweep.yaml").click()
    assert "betas: [0.9]" in saving.value.path().read_text("utf-8")
    assert not list((workplace / "params").glob("mine*"))


def test_a_method_of_the_field_has_its_own_fields_and_its_own_file(page, workplace):
    for method, shown, hidden in (
        ("LDAM-DRW", ["β", "deferral (epochs)"], ["loss", "γ", "retrain (epochs)"]),
        ("cRT", ["retrain (epochs)"], ["loss", "β", "γ", "deferral (epochs)"]),
    ):
        field(page, "method").select_option(method)
        for names, state in ((shown, "visible"), (hidden, "hidden")):
            for name in names:
                field(page, name).wait_for(state=state)
    label = page.get_by_text("retrain (epochs)", exact=True)
    assert label.evaluate("label => label.scrollWidth <= label.clientWidth")  # it is not cut off
    page.get_by_role("button", name="Save as parameter file").click()
    with page.expect_download() as saving:
        page.get_by_text("Download methods.yaml").click()
    assert 'methods: ["CE", "cRT"]' in saving.value.path().read_text("utf-8")
    field(page, "method").select_option("own loss, β and γ")
    field(page, "loss").wait_for()


def test_every_column_of_a_short_table_can_be_shown(page):
    page.get_by_role("button", name="Columns").click()
    (last,) = page.locator(".dt-button-collection button").all()[-1:]
    assert last.inner_text().strip() == "loss"  # in which the two runs differ
    page.get_by_role("heading", name="The runs").evaluate("heading => heading.scrollIntoView()")
    box = last.bounding_box()
    middle = [box["x"] + box["width"] / 2, box["y"] + box["height"] / 2]
    on_top = "([x, y]) => document.elementFromPoint(x, y).closest('button')?.innerText.trim()"
    assert page.evaluate(on_top, middle) == "loss"  # the table's own box does not cut it off
    page.mouse.click(*middle)
    page.locator("table.dataTable thead th", has_text="loss").first.wait_for()
    page.keyboard.press("Escape")
    page.locator(".dt-button-collection").wait_for(state="detached")


@pytest.mark.parametrize("width", [800, 400])
def test_a_narrow_page_holds_everything(browser, app, width):
    page, _ = visit(browser, app, width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    boxes = page.locator(".confusion-matrix thead span").evaluate_all(
        "spans => spans.slice(1).map(span => span.getBoundingClientRect()).map(box => [box.left, box.right])"
    )
    assert len(boxes) == 10
    assert all(left >= right for (_, right), (left, _) in pairwise(boxes))
    page.get_by_role("heading", name="The mistakes").evaluate("heading => heading.scrollIntoView()")
    page.screenshot(path=SHOTS / f"app-{width}.png")
    page.close()


def test_axe_finds_no_serious_fault_in_the_page(page):
    assert violations(page) == []


def test_a_page_whose_kernel_has_ended_says_so(browser, app):
    page, _ = visit(browser, app)
    address, token = app.split("?")
    stop = urllib.request.Request(f"{address}api/kernels/{kernel_of(page)}?{token}", method="DELETE")
    urllib.request.urlopen(stop, timeout=20)
    page.get_by_role("alert").filter(has_text="This page has ended. Reload it to go on.").wait_for()
    page.close()


def kernel_of(page):
    config = json.loads(page.locator("#jupyter-config-data").text_content())
    return config["kernelId"]


def running(app, kernel):
    address, token = app.split("?")
    try:
        urllib.request.urlopen(f"{address}api/kernels/{kernel}?{token}", timeout=20)
    except urllib.error.HTTPError:
        return False
    return True


@pytest.mark.parametrize("goes", ["closes the page", "is cut off"])
def test_a_visitor_who_leaves_a_training_ends_it(browser, app, workplace, goes):
    page, _ = visit(browser, app, width=400)
    for label, value in {"epochs": "5000", "seed": str(len(goes))}.items():
        field(page, label).fill(value)
        field(page, label).press("Enter")
    field(page, "model").select_option("TwoLayerNet")
    page.locator("button:has-text('Train')").last.click()
    page.get_by_text("/5000 · test").last.wait_for()
    drawn = page.locator("svg[aria-label^='Line plots']").last
    assert drawn.bounding_box()["width"] <= 400
    assert 1.2 < drawn.bounding_box()["width"] / drawn.bounding_box()["height"] < 2  # none of it is cut off
    kernel = kernel_of(page)
    assert running(app, kernel)
    if goes == "is cut off":
        page.route("**/voila/api/shutdown/**", lambda route: route.abort())
    page.goto("about:blank")
    end = time.monotonic() + 60
    while running(app, kernel):
        assert time.monotonic() < end, "the kernel outlives its page"
        page.wait_for_timeout(100)
    page.close()


def test_a_run_that_another_visitor_trains_is_said_as_that(browser, app):
    pages = [visit(browser, app)[0] for _ in range(2)]
    for page in pages:
        for label, value in {"epochs": "5000", "seed": "77"}.items():
            field(page, label).fill(value)
            field(page, label).press("Enter")
        field(page, "model").select_option("TwoLayerNet")
        page.locator("button:has-text('Train')").last.click()
        page.get_by_text(re.compile("/5000 · test|is being trained by another program")).last.wait_for()
    said = re.compile(r"is being trained by another program \(epoch \d+ of 5000 is done\); waiting for it\.")
    pages[1].get_by_text(said).first.wait_for()
    for page in reversed(pages):
        page.locator("button:has-text('Stop')").last.click()
        page.locator("button:has-text('Train'):enabled").last.wait_for()
        page.close()
