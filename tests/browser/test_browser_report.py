"""The HTML report as it opens on a telephone and on a desk, without a network."""

import re

import pytest
from headless_browser import SHOTS, violations

from lib.notebook.parameters import Plan
from lib.system import paths
from longtail_writeup.report import front
from longtail_writeup.report.document import Execution, assemble, write_report

pytestmark = pytest.mark.browser
WIDTHS = [400, 1400]


@pytest.fixture(scope="session")
def report(tmp_path_factory):
    """The report of the notebooks that the repository keeps, made by the code of this checkout."""
    plan, folder = Plan.of("writeup"), paths.PUBLISHED / "writeup"
    executions = [Execution(name, folder / f"{name}.ipynb", 1.0, None, 1) for name in plan.values]
    appendix, origins = front.appendix(plan, executions)
    parts = {"summary": front.summary(plan, executions), "appendix": appendix, "origins": origins}
    document = assemble([e.path for e in executions], front.TITLE, front.facts("writeup"), **parts)
    return write_report(document, tmp_path_factory.mktemp("report"))[0]


@pytest.fixture
def opened(report, browser):
    """Opens the report with a width and a colour scheme."""
    pages = []

    def open_page(width, scheme="light"):
        page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
        pages.append(page)
        page.asked = []
        page.on("request", lambda asked: page.asked.append(asked.url))
        page.goto(report.as_uri())
        return page

    yield open_page
    for page in pages:
        page.close()


@pytest.fixture(params=WIDTHS)
def page(request, opened):
    return opened(request.param)


def test_nothing_leaves_the_page(page, report):
    page.mouse.wheel(0, 50_000)
    page.wait_for_function("scrollY > 10000")
    assert page.asked[0] == report.as_uri()
    assert [url for url in page.asked[1:] if not url.startswith("data:")] == []


def test_it_fits_the_width(page):
    SHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SHOTS / f"report_{page.viewport_size['width']}.png")
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    small = page.evaluate(
        "[...document.querySelectorAll('p')].filter(p => parseFloat(getComputedStyle(p).fontSize) < 12)"
    )
    assert small == []


def test_formulas_are_rendered(page):
    formulas = page.locator("math")
    assert formulas.count() > 5
    boxes = [formulas.nth(n).bounding_box() for n in range(formulas.count())]
    assert all(box is None or box["width"] > 4 for box in boxes)
    assert "\\frac" not in page.inner_text("main, body")


def test_the_table_of_contents_leads_to_its_headings(page):
    links = page.locator("nav a[href^='#']")
    assert links.count() > 5
    for n in range(links.count()):
        target = links.nth(n).get_attribute("href")
        assert page.locator(f"[id='{target[1:]}']").count() == 1
    if not links.nth(4).is_visible():
        page.locator("nav summary, nav button").first.click()
    links.nth(4).click()
    heading = page.locator(f"[id='{links.nth(4).get_attribute('href')[1:]}']")
    assert 0 <= heading.bounding_box()["y"] < 900


def test_every_figure_has_words_for_those_who_do_not_see_it(page):
    said = page.evaluate("[...document.querySelectorAll('img, svg[role=img]')].map(i => i.alt || i.ariaLabel)")
    assert all(said)
    assert page.locator("img[alt]").count() > 8


def in_view(page, element):
    box = element.bounding_box()
    return bool(box) and box["y"] >= 0 and box["y"] + box["height"] <= 900 and box["x"] >= 0


@pytest.mark.parametrize("width", [960, 1400])
def test_the_contents_stay_beside_the_text(opened, width):
    page = opened(width)
    link = page.locator("nav a", has_text="The network")
    assert in_view(page, link)
    page.evaluate("scrollTo(0, 20000)")
    page.wait_for_function("scrollY == 20000")
    assert in_view(page, link)
    nav, main = page.locator("nav").bounding_box(), page.locator("main h2").first.bounding_box()
    assert nav["x"] + nav["width"] <= main["x"]
    link.click()
    page.wait_for_function("scrollY < 20000")
    assert in_view(page, page.locator("#the-network"))
    page.emulate_media(media="print")
    assert not page.locator("nav").is_visible()


def test_the_contents_are_folded_on_a_telephone(opened):
    page = opened(400)
    link = page.locator("nav a").first
    assert not link.is_visible()
    page.evaluate("scrollTo(0, 20000)")
    page.locator(".tools a").click()  # which leads back to them from anywhere
    page.wait_for_function("scrollY < 2000")
    page.locator("nav summary").click()
    assert link.is_visible()


def test_a_heading_shows_its_link_when_it_is_pointed_at(opened):
    page = opened(1400)
    heading = page.locator("h2", has_text="The ConvNet")
    anchor = heading.locator("a.anchor")
    shown = "a => getComputedStyle(a).opacity"
    page.mouse.move(5, 5)
    assert anchor.evaluate(shown) == "0"
    heading.hover()
    assert anchor.evaluate(shown) == "1"
    assert page.get_by_role("link", name="Link to: 1 The ConvNet").count() == 1
    anchor.click()
    assert page.url.endswith("#the-convnet")
    page.mouse.move(5, 5)
    anchor.focus()
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Tab")
    assert anchor.evaluate(shown) == "1"


def luminance(colour):
    parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_colours_follow_the_system_and_can_be_read(opened, scheme):
    page = opened(1400, scheme)
    page.screenshot(path=SHOTS / f"report_{scheme}.png")
    colour = "(e, name) => getComputedStyle(e)[name]"
    behind = luminance(page.locator("html").evaluate(colour, "backgroundColor"))
    assert (behind < 0.05) == (scheme == "dark")
    for selector in ("main p", "main a[href^=https]", "dt", "h2 .number", "nav a", "figcaption"):
        text = luminance(page.locator(selector).first.evaluate(colour, "color"))
        contrast = (max(text, behind) + 0.05) / (min(text, behind) + 0.05)
        assert contrast > 4.5, selector
    drawn = page.locator("figure > img").first.evaluate(colour, "backgroundColor")
    assert scheme == "light" or luminance(drawn) == 1  # the text of a figure is dark


def test_the_first_column_stays_when_a_wide_table_is_scrolled(opened):
    page = opened(400)
    box = page.locator("figure.table[id*=closing] .scroll")
    heading = box.locator("tbody tr").nth(1).locator("th")
    before = heading.bounding_box()["x"]
    assert box.evaluate("b => { b.scrollLeft = 150; return b.scrollLeft }") == 150
    assert heading.bounding_box()["x"] == before
    assert heading.evaluate("h => getComputedStyle(h).backgroundColor") != "rgba(0, 0, 0, 0)"


def test_a_table_is_saved_as_csv(opened):
    page = opened(1400)
    with page.expect_download() as saved:
        page.locator("figure.table[id*=alike] a[download]").click()
    assert re.fullmatch(r"table-\d+-alike\.csv", saved.value.suggested_filename)
    head, *rows = saved.value.path().read_text("utf-8").splitlines()
    assert "CE (%),CE (%) low,CE (%) high" in head
    assert "difference (points),difference (points) low,difference (points) high" in head
    assert rows
    assert not [row for row in rows if "±" in row or "−" in row or "[" in row]
    assert page.locator("figure.table").count() <= page.locator("a[download]").count() + 1  # the ledger has words only


def test_a_run_leads_to_its_origin_and_its_record(opened, report):
    page = opened(1400)
    link = page.locator("figure.table[id*=baselines] td a").first
    key = link.inner_text()
    origin = page.locator(f"#run-{key}")
    assert not origin.is_visible()  # folded
    link.click()
    assert origin.is_visible()
    address = origin.locator("a").get_attribute("href")
    assert re.search(rf"/runs/{key}[0-9a-f]{{8}}/record\.json$", address)
    assert (paths.OUTPUTS / "writeup" / address).resolve().is_file()


def test_formulas_have_the_font_of_the_page(opened):
    page = opened(1400)
    assert page.evaluate("document.fonts.load('16px Formulas', '∑').then(found => found.length)") == 1
    assert page.locator("math").first.evaluate("m => getComputedStyle(m).fontFamily").startswith("Formulas")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_serious_fault(opened, scheme):
    assert violations(opened(1400, scheme)) == []
