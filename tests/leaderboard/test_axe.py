"""Whether everybody can use the pages: what axe-core (vendor/, MPL-2.0) finds in Chromium."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from promptbench import records as store
from promptbench.leaderboard.checking.verdicts import Verdict
from promptbench.leaderboard.web import error_pages, site
from tests.leaderboard.browsing import NEEDED
from tests.short_form import first

pytestmark = NEEDED
AXE = (Path(__file__).parent / "vendor" / "axe.min.js").read_text(encoding="utf-8")
PAGES = (
    "index.html",
    "submit.html",
    "protocols/base_to_new.html#suite=demo",
    "protocols/few_shot.html",
    "methods/alignednorm.html",
    "methods/index.html",
    "efficiency/index.html",
    "audit.html",
    "datasets/dtd.html",
)
ALIKE = ("protocols/cross_dataset.html", "protocols/generalized_base_to_new.html")
INTERACTIVE = "a[href], svg a, button, select, input, summary, [tabindex='0']"


@pytest.fixture(scope="module")
def pages(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The addresses of the pages of a site, one of a record among them."""
    out = tmp_path_factory.mktemp("axe") / "site"
    paths = store.find([finished])
    site.build([Verdict(path, store.read(path), "consistent") for path in paths], out)
    record = error_pages.page_of(store.read(paths[0]))
    return [f"file://{out / page}" for page in (*PAGES, record, *ALIKE)]


def found(page: Any) -> list[str]:
    """What is serious or critical, with the first element that it is found in."""
    page.evaluate(AXE)
    result = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{each['id']}, {len(each['nodes'])} times: {each['nodes'][0]['html'][:200]}"
        for each in result["violations"]
        if each["impact"] in ("serious", "critical")
    ]


# Pages of protocols have one template: two of them are short.
WAYS = [(1400, "dark", False), (1400, "dark", True), (390, "light", False), (390, "light", True)]


@pytest.mark.parametrize(("width", "scheme", "alike"), first(1, WAYS))
def test_nothing_serious_is_found(
    pages: list[str], browser: Any, width: int, scheme: str, alike: bool
) -> None:
    tab = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    problems = {}
    for address in pages:
        if address.endswith(ALIKE) != alike:
            continue
        tab.goto(address)
        tab.wait_for_load_state("networkidle")
        problems[address.rsplit("/site/")[-1]] = found(tab)
    tab.close()
    assert {page: each for page, each in problems.items() if each} == {}


@pytest.mark.parametrize("width", first(1, [1400, 390]))
def test_the_keyboard_reaches_everything(pages: list[str], browser: Any, width: int) -> None:
    tab = browser.new_page(viewport={"width": width, "height": 900})
    tab.goto(next(page for page in pages if "few_shot" in page))
    tab.locator("ul.legend button").first.wait_for()
    tab.evaluate(
        "document.addEventListener('focusin', ({ target }) => { target.dataset.reached = 'yes'; })"
    )
    for _ in range(tab.locator(INTERACTIVE).count()):
        tab.keyboard.press("Tab")
    seen = tab.locator(INTERACTIVE).locator("visible=true")  # in one call: there are hundreds
    missed = seen.evaluate_all(
        "all => all.filter((e) => !e.dataset.reached).map((e) => e.outerHTML.slice(0, 120))"
    )
    assert tab.locator("figure a[data-reached]").count() > 20  # points of plots among them
    tab.close()
    assert missed == []


def test_what_is_wrong_is_found(browser: Any) -> None:
    """Otherwise the test above would say nothing."""
    tab = browser.new_page()
    tab.set_content("<html lang=en><title>t</title><main><img src=x><button></button></main>")
    names = {each.partition(",")[0] for each in found(tab)}
    tab.close()
    assert {"image-alt", "button-name"} <= names
