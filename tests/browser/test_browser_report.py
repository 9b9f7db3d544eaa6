"""The HTML report as it opens on a telephone and on a desk, without a network."""

import pytest
from headless_browser import SHOTS

from lib.system import paths

pytestmark = pytest.mark.browser
REPORT = paths.PUBLISHED / "writeup" / "report.html"


@pytest.fixture(params=[400, 1400])
def page(request, browser):
    page = browser.new_page(viewport={"width": request.param, "height": 900})
    page.asked = []
    page.on("request", lambda asked: page.asked.append(asked.url))
    page.goto(REPORT.as_uri())
    yield page
    page.close()


def test_nothing_leaves_the_page(page):
    page.mouse.wheel(0, 50_000)
    page.wait_for_timeout(300)
    assert page.asked[0] == REPORT.as_uri()
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
