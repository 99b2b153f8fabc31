"""The site in headless Chromium: every page, sorting, filters, plots, links; nothing goes out."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from promptbench import records as store
from promptbench.core.registry import add_file
from promptbench.leaderboard.boards import building
from promptbench.leaderboard.checking import known
from promptbench.leaderboard.checking.verdicts import Verdict
from promptbench.leaderboard.web import site
from tests.leaderboard.browsing import NEEDED, Tab, opened
from tests.leaderboard_hostile import hostile
from tests.metrics.test_contract import THEIRS
from tests.metrics.test_theirs import DATASETS, written
from tests.short_form import first

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytestmark = NEEDED


@pytest.fixture(scope="module")
def folder(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site of the papers, a demo run, and the hostile record."""
    base = tmp_path_factory.mktemp("browser")
    runs = Path(shutil.copytree(finished, base / "runs"))
    hostile(runs)
    refused: list[Any] = []
    accepted = building.accepted(building.judged([finished, runs], None), refused.append)
    assert not refused
    site.build(accepted, base / "site")
    return base / "site"


@pytest.fixture
def tab(browser: Any, folder: Path) -> Iterator[Tab]:
    with opened(browser, folder) as found:
        yield found


def column(page: Any, suite: str, number: int) -> list[str]:
    """The visible cells of a column of a suite's table."""
    cells = page.locator(f"section[data-suite={suite}] .scroll tbody tr").all()
    return [row.locator("td, th").nth(number).inner_text() for row in cells]


WIDTHS = {1280: 720, 390: 800}
DRAWN = "form.filters, figure[data-plot]"  # what scripts lay out by the width they find


def several_of_each_folder(site: Path, count: int) -> list[Path]:
    """Pages; of the many that one template makes for a folder, about so many."""
    found = []
    for folder in sorted({path.parent for path in site.glob("**/*.html")}):
        pages = sorted(folder.glob("*.html"))
        found += pages[:: max(1, len(pages) // count)]
    return found


@pytest.mark.parametrize("count", first(1, [2, 8]))
def test_every_kind_of_page_opens(tab: Tab, count: int) -> None:
    """At both widths; style sheets follow a new width as they would have met it."""
    for path in several_of_each_folder(tab.folder, count):
        tab.page.goto(path.as_uri())
        assert tab.page.locator("h1").inner_text()
        for width, height in WIDTHS.items():
            tab.page.set_viewport_size({"width": width, "height": height})
            if width == 390 and tab.page.locator(DRAWN).count():
                tab.page.reload()
            wide, shown = tab.page.evaluate(
                "[document.documentElement.scrollWidth, document.documentElement.clientWidth]"
            )
            assert wide <= shown == width, f"{path.name} scrolls sideways at {width}"


def test_a_heading_sorts_by_number_with_mouse_and_keyboard(tab: Tab) -> None:
    page = tab.open("protocols/base_to_new.html")
    head = page.locator("section[data-suite=clip] thead th[title='Average, new']")
    head.click()
    playwright.expect(head).to_have_attribute("aria-sort", "descending")
    page.locator("section[data-suite=clip] select[name=shots]").select_option("")
    playwright.expect(page.locator("section[data-suite=clip] .scroll tbody tr")).to_have_count(114)
    shown = column(page, "clip", 3)
    news = [float(text.rstrip("¶")) for text in shown if text]
    assert news == sorted(news, reverse=True)
    assert "" not in shown[: len(news)]  # rows without an average come last
    head.get_by_role("button").press("Enter")
    playwright.expect(head).to_have_attribute("aria-sort", "ascending")
    again = [float(text.rstrip("¶")) for text in column(page, "clip", 3) if text]
    assert again == sorted(news)
    method = page.locator("section[data-suite=clip] thead th.name", has_text="method")
    method.click()
    playwright.expect(method).to_have_attribute("aria-sort", "ascending")
    names = [text.split(" [")[0].lower() for text in column(page, "clip", 0)]
    assert names == sorted(names)


def test_filters_act_on_table_and_plots(tab: Tab) -> None:
    page = tab.open("protocols/few_shot.html")
    section = page.locator("section[data-suite=clip]")
    rows, dots = section.locator(".scroll tbody tr"), section.locator("figure[data-plot=shots] a")
    playwright.expect(rows).to_have_count(11)  # of 16 shots; the curves are of all
    playwright.expect(dots).to_have_count(48)  # no paper prints an average of the zero-shot rows
    section.locator("select[name=shots]").select_option("")
    playwright.expect(rows).to_have_count(49)  # one zero-shot row, not one for each count
    section.locator("select[name=shots]").select_option("16")
    section.locator("select[name=paradigm]").select_option("decoupled")
    playwright.expect(rows).to_have_count(2)
    playwright.expect(section.locator("output")).to_have_text("2 of 49 rows")
    playwright.expect(dots).to_have_count(10)
    section.get_by_role("button", name="Reset").click()
    playwright.expect(rows).to_have_count(11)
    section.get_by_role("searchbox", name="method").fill("promptsrc")
    playwright.expect(section.locator("output")).not_to_have_text("11 of 49 rows")
    names = column(page, "clip", 0)
    assert names and all("PromptSRC" in text for text in names)


@pytest.mark.parametrize("width", [1280, 390])
def test_who_leads_is_seen_at_a_glance(browser: Any, folder: Path, width: int) -> None:
    """The first screen names the leader of the inductive track and what its number rests on."""
    tab = Tab(browser, folder, viewport={"width": width, "height": 844})
    page = tab.open("protocols/base_to_new.html")
    first = page.locator("section[data-suite=clip] table.leaders tbody tr").first
    box = first.bounding_box()
    assert box is not None
    for words in ("inductive", "AlignedNorm", "81.45", "11 datasets", "30 rows of 23 methods"):
        playwright.expect(first).to_contain_text(words, use_inner_text=True)
    answer = page.locator("section[data-suite=clip] .answer:visible")
    leads = re.compile("^AlignedNorm leads the inductive track with 81.45")
    playwright.expect(answer).to_have_text(leads, use_inner_text=True)
    top = answer.bounding_box()
    assert top is not None and top["y"] + top["height"] < min(844, box["y"])
    playwright.expect(answer).to_contain_text(
        "0.34 points ahead of SkipTuning (81.11), over 11 datasets", use_inner_text=True
    )
    link = first.get_by_role("link")
    link.click()
    target = page.locator(link.get_attribute("href") or "")
    playwright.expect(target).to_contain_text("AlignedNorm", use_inner_text=True)
    tab.page.context.close()
    assert tab.wrong == []


def test_tracks_and_sets_of_datasets_can_be_chosen(tab: Tab) -> None:
    page = tab.open("protocols/base_to_new.html")
    section = page.locator("section[data-suite=clip]")
    output, text = section.locator("output"), section.locator(".scroll tbody")
    section.locator("select[name=track]").select_option("transductive")
    playwright.expect(output).to_have_text("5 of 114 rows")
    playwright.expect(text).to_contain_text("PromptKD+ATPrompt", use_inner_text=True)
    assert "AlignedNorm" not in text.inner_text()
    section.get_by_role("button", name="Reset").click()
    section.locator("select[name=over]").select_option("not stated")
    playwright.expect(output).not_to_have_text("98 of 114 rows")
    assert set(column(page, "clip", 4)) == {"?"}
    section.locator("select[name=over]").select_option("11 datasets")
    assert set(column(page, "clip", 4)) == {"11"}
    section.locator("select[name=backbone]").select_option("ViT-B-32")
    playwright.expect(output).to_have_text("0 of 114 rows")


def test_a_row_with_a_modifier_links_to_both(tab: Tab) -> None:
    page = tab.open("protocols/base_to_new.html")
    row = page.locator("section[data-suite=clip] .scroll tbody tr", has_text="CoOp+DePT").first
    row.locator(".parts").get_by_role("link", name="DePT").click()
    playwright.expect(page.locator("h1")).to_have_text("DePT", use_inner_text=True)
    page.get_by_role("link", name="CoOp+DePT", exact=True).click()
    playwright.expect(page.locator("h1")).to_have_text("CoOp+DePT", use_inner_text=True)
    page.get_by_role("link", name="CoOp", exact=True).click()
    playwright.expect(page.locator("h1")).to_have_text("CoOp", use_inner_text=True)


def test_columns_and_differences_can_be_chosen(tab: Tab) -> None:
    page = tab.open("protocols/base_to_new.html")
    section = page.locator("section[data-suite=clip]")
    heads = section.locator("thead tr:nth-child(2) th:visible")
    counts = {}
    for choice in ("average", "main", "all"):
        section.locator("select[name=columns]").select_option(choice)
        counts[choice] = heads.count()
    assert counts["average"] + 11 == counts["main"] and counts["main"] + 22 == counts["all"]
    section.locator("select[name=numbers]").select_option("difference")
    assert column(page, "clip", 1)[:2] == ["+0.00", "▼-0.02"]


def test_suites_are_never_shown_together(tab: Tab) -> None:
    page = tab.open("protocols/few_shot.html")
    real, demo = (
        page.locator(f"section[data-suite={name}][data-metric=accuracy]")
        for name in ("clip", "demo")
    )
    playwright.expect(real).to_be_visible()
    playwright.expect(demo).to_be_hidden()
    page.get_by_role("button", name="demo").click()
    playwright.expect(demo).to_be_visible()
    playwright.expect(real).to_be_hidden()
    playwright.expect(demo.get_by_role("note")).to_contain_text(
        "not comparable", use_inner_text=True
    )
    playwright.expect(demo.locator(".scroll tbody tr")).to_have_count(3)
    playwright.expect(demo.locator("figure svg").first).to_be_visible()
    assert all("published" not in text for text in demo.locator("tbody").all_inner_texts())


def test_a_plot_tells_a_point_under_the_mouse(tab: Tab) -> None:
    page = tab.open("protocols/base_to_new.html")
    plot = page.locator("section[data-suite=clip] figure[data-plot=base-new]")
    point = plot.locator("a[aria-label^='AlignedNorm']").or_(
        plot.locator("a", has=page.locator("[aria-label^='AlignedNorm']"))
    )
    point.first.scroll_into_view_if_needed()
    box = point.first.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    tip = plot.locator("g[aria-label=tip]")
    tip.get_by_text("HM 81.4").wait_for()
    assert "base 85.4" in tip.text_content() and "published, 16 shots" in tip.text_content()
    playwright.expect(plot.get_by_text("HM 80", exact=True)).to_have_count(1)  # an iso-HM curve


def test_links_lead_from_row_to_method_to_record(tab: Tab) -> None:
    page = tab.open("protocols/few_shot.html#suite-demo")
    page.locator("section[data-suite=demo]").get_by_role("link", name="CoOp").first.click()
    playwright.expect(page.locator("h1")).to_have_text("CoOp", use_inner_text=True)
    page.locator("details.record summary").first.click()
    commands = page.locator("details.record pre").first.inner_text()
    record = page.get_by_role("link", name="record.json").first
    assert record.get_attribute("download") is not None
    record.click()
    playwright.expect(page.locator("body")).to_contain_text(
        '"promptbench-record/2"', use_inner_text=True
    )
    page.go_back()
    assert "promptbench run --method coop" in commands and "'Recipe.epochs = 2'" in commands
    page.get_by_role("link", name="Datasets").click()
    page.get_by_role("link", name="Counts").click()
    playwright.expect(page.locator("h1")).to_have_text("Counts", use_inner_text=True)


def test_hostile_names_stay_text(tab: Tab) -> None:
    page = tab.open("protocols/few_shot.html#suite-demo")
    section = page.locator("section[data-suite=demo]")
    assert any("<script>alert(1)</script>" in text for text in column(page, "demo", 0))
    playwright.expect(section.locator("ul.legend").first).to_contain_text(
        "<script>alert(1)", use_inner_text=True
    )
    playwright.expect(page.locator("img")).to_have_count(0)
    page = tab.open("methods/theirs.html")
    page.locator("details.record summary").first.click()
    playwright.expect(page.locator("details.record").first).to_contain_text(
        "<img src=x", use_inner_text=True
    )
    playwright.expect(page.locator("img")).to_have_count(0)


def test_dark_and_light(browser: Any, folder: Path) -> None:
    tab = Tab(browser, folder, color_scheme="dark")
    page = tab.open("index.html")
    colour = "getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(colour)
    page.get_by_role("button", name="Light").click()
    assert dark == "rgb(17, 21, 26)" and page.evaluate(colour) == "rgb(255, 255, 255)"
    page.reload()
    assert page.evaluate(colour) == "rgb(255, 255, 255)"
    tab.page.context.close()
    assert tab.wrong == []


def test_it_can_be_read_without_scripts(browser: Any, folder: Path) -> None:
    tab = Tab(browser, folder, java_script_enabled=False)
    page = tab.open("protocols/base_to_new.html")
    section = page.locator("section[data-suite=clip]")
    playwright.expect(section.locator(".scroll tbody tr")).to_have_count(98)  # of 16 shots
    playwright.expect(page.locator("main > noscript")).to_contain_text(
        "has all rows in all metrics", use_inner_text=True
    )
    playwright.expect(section.locator("table.leaders")).to_be_visible()
    playwright.expect(page.locator("form.filters").first).to_be_hidden()
    tab.page.context.close()


def test_a_metric_can_be_chosen(
    browser: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in THEIRS:
        add_file(path)
    for seed, right in enumerate(((80, 0), (81, 1), (85, 2)), 1):
        for dataset in DATASETS:
            written(tmp_path / dataset / str(seed), "coop", seed, right, dataset)
    paths = store.find([tmp_path])
    monkeypatch.setattr(known, "protocol_names", lambda: ("base_to_new",))
    site.build([Verdict(p, store.read(p), "consistent") for p in paths], tmp_path / "site")
    tab = Tab(browser, tmp_path / "site")
    page = tab.open("protocols/base_to_new.html")
    shown = page.locator("section.board:not([hidden])")
    playwright.expect(shown.locator("h2")).to_contain_text("Suite clip")
    page.get_by_role("button", name="error of the worst class").click()
    playwright.expect(shown).to_have_count(0)  # papers do not print it
    playwright.expect(page.locator("p.nothing")).to_be_visible()
    page.get_by_role("button", name="demo", exact=True).click()
    playwright.expect(shown.locator("h2")).to_contain_text("error of the worst class")
    playwright.expect(page.locator("p.nothing")).to_be_hidden()
    head = shown.locator("thead th[title='Average, new']")
    head.click()
    playwright.expect(head).to_have_attribute("aria-sort", "ascending")  # the best one first
    figure = shown.locator("figure[data-plot=datasets]")
    playwright.expect(figure).to_contain_text("error of the worst class →")
    playwright.expect(shown.locator("figure[data-plot=base-new]")).not_to_contain_text("HM")
    page.get_by_role("button", name="accuracy in %", exact=True).click()
    playwright.expect(shown.locator("figure[data-plot=base-new]")).to_contain_text("HM")
    page.context.close()
    assert tab.wrong == []
