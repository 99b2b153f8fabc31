"""Plots, pages of methods and of records in headless Chromium."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from promptbench import records as store
from promptbench.leaderboard.checking.verdicts import Verdict
from promptbench.leaderboard.web import error_pages, site
from tests.leaderboard.browsing import NEEDED, Tab, opened
from tests.short_form import first

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytestmark = NEEDED
CLIP = "section.board[data-suite=clip]:not([hidden])"
# Whether the boxes of two lists of elements overlap by more than a pixel; how many do.
OVERLAPS = """([names, dots]) => {
  const boxes = (s) => [...document.querySelectorAll(s)].map((e) => e.getBoundingClientRect());
  const meet = (a, b) => Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1
    && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 1;
  const [first, second] = [boxes(names), boxes(dots)];
  const own = first.filter((a, i) => first.slice(i + 1).some((b) => meet(a, b))).length;
  const covered = first.filter((a) => second.some((b) => meet(a, b))).length;
  return [first.length, second.length, own, covered];
}"""


@pytest.fixture(scope="module")
def folder(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("pages") / "site"
    paths = store.find([finished])
    site.build([Verdict(path, store.read(path), "consistent") for path in paths], out)
    return out


@pytest.fixture
def tab(browser: Any, folder: Path) -> Iterator[Tab]:
    with opened(browser, folder, viewport={"width": 1400, "height": 900}) as found:
        yield found


@pytest.mark.parametrize("width", first(1, [1400, 390]))
def test_names_stand_on_no_dot_and_on_no_other_name(tab: Tab, width: int) -> None:
    tab.page.set_viewport_size({"width": width, "height": 900})
    page = tab.open("protocols/base_to_new.html")
    for kind in ("base-new", "parameters"):
        plot = f"{CLIP} figure[data-plot={kind}]"
        playwright.expect(page.locator(f"{plot} svg")).to_be_visible()
        names, dots, crossed, covered = page.evaluate(
            OVERLAPS, [f"{plot} g.names text", f"{plot} g[aria-label=dot] path"]
        )
        assert names > 3 and dots > 20, kind
        assert (crossed, covered) == (0, 0), kind


@pytest.mark.long
def test_a_method_stands_out_in_all_plots(tab: Tab) -> None:
    page = tab.open("protocols/base_to_new.html")
    section = page.locator(CLIP)
    button = section.locator("ul.legend button[data-method=maple]")
    chosen = section.locator(".plots figure a.chosen[data-method=maple]")
    button.hover()
    playwright.expect(section.locator(".plots.focused")).to_have_count(1)
    shown = {kind: section.locator(f"figure[data-plot={kind}] a.chosen").count() for kind in KINDS}
    assert all(shown.values()), shown
    playwright.expect(section.locator("a.chosen:not([data-method=maple])")).to_have_count(0)
    page.mouse.move(0, 0)
    playwright.expect(section.locator(".plots.focused")).to_have_count(0)
    button.focus()
    page.keyboard.press("Enter")
    page.evaluate("document.activeElement.blur()")
    playwright.expect(button).to_have_attribute("aria-pressed", "true")
    assert chosen.count() > 3  # it stays
    button.click()
    page.mouse.move(0, 0)
    page.evaluate("document.activeElement.blur()")
    playwright.expect(section.locator(".plots.focused")).to_have_count(0)


KINDS = ("base-new", "datasets", "parameters")


def test_a_method_has_one_colour_on_all_pages(tab: Tab) -> None:
    stroke = "e => getComputedStyle(e.querySelector('path') ?? e).stroke"
    seen = set()
    for protocol in ("base_to_new", "cross_dataset", "few_shot"):
        page = tab.open(f"protocols/{protocol}.html")
        points = page.locator(f"{CLIP} .plots a[data-method=coop]:not(.back)")
        points.first.wait_for()
        seen |= {page.evaluate(stroke, point.element_handle()) for point in points.all()}
    assert len(seen) == 1


BOX = """e => {
  const { left, top, width } = e.getBoundingClientRect();
  return [left, top, width, e.textContent];
}"""


def test_points_stand_at_their_count_of_shots_and_lines_end_at_their_names(tab: Tab) -> None:
    figure = tab.open("protocols/few_shot.html").locator(f"{CLIP} figure[data-plot=shots]")
    boxes = figure.locator("a path").evaluate_all(f"all => all.map({BOX})")
    places = [round(left + width / 2) for left, _, width, _ in boxes]
    assert len(places) == 48 and len(set(places)) == 5
    ticks = figure.locator("[aria-label='x-axis tick label'] text").all_text_contents()
    assert ticks == ["1", "2", "4", "8", "16"]
    names = figure.locator(".names text").evaluate_all(f"all => all.map({BOX})")
    assert {"CoOp", "MMRL", "CLIP-LoRA"} <= {name for *_, name in names}
    tops = sorted(top for _, top, _, _ in names)
    assert min(b - a for a, b in itertools.pairwise(tops)) > 10  # on no other name
    assert min(left for left, *_ in names) > max(places)


def test_names_at_the_ends_of_lines_are_whole_and_curves_are_of_several_counts(tab: Tab) -> None:
    figure = tab.open("protocols/base_to_new.html").locator(f"{CLIP} figure[data-plot=shots]")
    figure.locator("a").first.wait_for()
    right = figure.locator("svg").evaluate("e => e.getBoundingClientRect().right")
    names = figure.locator(".names text").evaluate_all(f"all => all.map({BOX})")
    assert any("DePT" in name for *_, name in names)
    assert all(left + width <= right + 1 for left, _, width, _ in names)
    methods = set(figure.locator("a").evaluate_all("all => all.map((e) => e.dataset.method)"))
    assert "coop+dept" in methods and "promptkd" not in methods  # which has 16 shots only


def test_zero_shot_is_a_line_with_its_name(tab: Tab) -> None:
    page = tab.open("protocols/base_to_new.html")
    figure = page.locator(f"{CLIP} figure[data-plot=parameters]")
    figure.locator("svg").wait_for()
    playwright.expect(figure.locator("a[data-method=zeroshot]")).to_have_count(0)
    assert figure.locator("g.references [data-method=zeroshot]").count() > 0
    playwright.expect(figure.get_by_text("CLIP (zero-shot) 71.70")).to_have_count(1)


def test_the_front_page_numbers_no_published_row(tab: Tab) -> None:
    page = tab.open("index.html")
    first = page.locator("article").first
    playwright.expect(first).to_contain_text(
        "Published numbers, no seeds: no ranks", use_inner_text=True
    )
    assert page.locator("article ol").count() == 0 and page.locator("article .rank").count() == 0
    playwright.expect(first).to_contain_text("original", use_inner_text=True)
    demo = page.locator("h2#demo ~ .cards").first
    playwright.expect(demo).to_contain_text("Few-shot", use_inner_text=True)
    assert "published" not in demo.inner_text()
    playwright.expect(page.locator("h2#demo + .banner")).to_contain_text(
        "cannot be compared", use_inner_text=True
    )
    heads = [head.inner_text() for head in page.locator("h2").all()]
    assert heads.index("The field") < heads.index("Demo board")


def test_the_world_outside_and_other_programs_are_led_to(tab: Tab) -> None:
    page = tab.open("methods/coop.html")
    for name, file in (("board.json", "board.json"), ("Feed of new results", "feed.xml")):
        href = page.locator("footer").get_by_role("link", name=name).get_attribute("href")
        assert href == f"../{file}" and (tab.folder / file).is_file()
    page.locator("footer").get_by_role("link", name="How to submit").click()
    playwright.expect(page.locator("h1")).to_have_text("Submit results", use_inner_text=True)


def test_commands_and_citations_can_be_copied(browser: Any, folder: Path) -> None:
    tab = Tab(browser, folder, permissions=["clipboard-read", "clipboard-write"])
    page = tab.open("methods/coop.html")
    page.locator("summary", has_text="BibTeX").click()
    button = page.locator("h2#cite ~ details .copied button").first
    button.click()
    playwright.expect(button).to_have_text("Copied")
    assert "2109.01134" in page.evaluate("navigator.clipboard.readText()")
    page.context.close()
    assert tab.wrong == []


def test_equations_are_typeset(tab: Tab) -> None:
    page = tab.open("methods/cliplora.html")
    equation = page.locator("dl.equations math").first
    assert (equation.bounding_box() or {"height": 0})["height"] > 20  # it has a fraction
    assert "γ" in (equation.text_content() or "")


def test_a_record_page_says_how_to_compute_it_again(tab: Tab, finished: Path) -> None:
    (path,) = store.find([finished / "demo" / "few_shot" / "coop"])
    place = error_pages.page_of(store.read(path))
    page = tab.open(place)
    playwright.expect(page.locator("h1")).to_have_text(
        "CoOp on fills/all, 1 shot, seed 1", use_inner_text=True
    )
    commands = page.locator("h2#again ~ .copied pre").first.inner_text().splitlines()
    assert [line.split()[1] for line in commands] == ["run", "reproduce", "leaderboard"]
    assert (tab.folder / commands[1].split()[2]).is_file()
    page.locator("summary", has_text="Ids and hashes").click()
    assert store.read(path).cell_id in page.locator("main").inner_text()
    page.get_by_role("link", name="Permalink of this cell").click()
    assert page.url.endswith(place)
    for heading in ("Results", "What goes wrong"):
        playwright.expect(page.get_by_role("heading", name=heading, exact=True)).to_be_visible()
    playwright.expect(page.locator(".reliability svg").first).to_be_visible()


def test_names_of_targets_are_short_with_the_full_one_under_the_mouse(tab: Tab) -> None:
    across = tab.open("protocols/cross_dataset.html").locator("section[data-suite=clip]")
    heads = across.locator("thead th[data-column]")
    assert {"cars", "pets", "imagenet"} <= {text.split()[0] for text in heads.all_inner_texts()}
    playwright.expect(across.locator("th[title='Target, StanfordCars']")).to_have_count(1)


@pytest.mark.parametrize("path", ["audit.html", "methods/index.html", "efficiency/index.html"])
def test_nothing_is_cut_on_a_phone(tab: Tab, path: str) -> None:
    """Captions are as wide as what is seen of their table; tables of text are stacked."""
    tab.page.set_viewport_size({"width": 390, "height": 844})
    page = tab.open(path)
    room = "e => [e.getBoundingClientRect().width, e.closest('.scroll').clientWidth]"
    captions = page.locator("main .scroll caption").evaluate_all(f"all => all.map({room})")
    assert all(0.8 * there < own < there + 1 for own, there in captions)
    stacked = page.locator("table.stacked").evaluate_all(f"all => all.map({room})")
    assert all(own < there + 1 for own, there in stacked)
    assert captions or stacked


def test_a_protocol_without_numbers_says_how_to_get_some(tab: Tab) -> None:
    page = tab.open("protocols/generalized_base_to_new.html")
    playwright.expect(page.locator("main")).to_contain_text(
        "no run has been submitted yet", use_inner_text=True
    )
    playwright.expect(page.locator("main pre")).to_contain_text(
        "--protocol generalized_base_to_new", use_inner_text=True
    )


def test_images_have_a_size_before_they_are_loaded(folder: Path) -> None:
    for path in folder.glob("errors/*.html"):
        for tag in path.read_text().split("<img ")[1:]:
            assert 'width="' in tag.split(">")[0] and 'height="' in tag.split(">")[0]
