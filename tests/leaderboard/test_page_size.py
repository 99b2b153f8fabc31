"""Pages of protocols with 100 methods: how many bytes they have, and what they load from files when
it is asked for."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from promptbench.leaderboard.boards import table_data
from promptbench.leaderboard.boards.board import Board
from tests.leaderboard import crowded
from tests.leaderboard.browsing import NEEDED, Tab, opened

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
MOST = 1_000_000  # bytes of a page, and of what it loads at once
PAGE = "protocols/few_shot.html"


@pytest.fixture(scope="module")
def boards() -> list[Board]:
    """Few-shot boards in all metrics, 100 methods of three counts of shots in each."""
    return crowded.boards("few_shot")


@pytest.fixture(scope="module")
def folder(boards: list[Board], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return crowded.site_of(boards, tmp_path_factory.mktemp("crowded") / "site")


@pytest.fixture
def tab(browser: Any, folder: Path) -> Iterator[Tab]:
    with opened(browser, folder, viewport={"width": 1400, "height": 900}) as found:
        yield found


def first_load(page: Path) -> int:
    """The bytes of a page and of the scripts beside it that it names."""
    text = page.read_text(encoding="utf-8")
    own = [page.parent / src for src in re.findall(r'<script src="([^"]+)"', text)]
    beside = [path for path in own if page.parent in path.parents and "assets" not in path.parts]
    assert len(beside) == 1
    return page.stat().st_size + beside[0].stat().st_size


def test_a_page_is_small_whatever_there_is_to_choose(folder: Path, boards: list[Board]) -> None:
    """All metrics and counts of shots can be chosen, and one of each is in the page."""
    assert len(boards) > 5 and all(len(board.rows) == 300 for board in boards)
    assert first_load(folder / PAGE) < MOST
    files = list((folder / "protocols" / "few_shot").glob("*.js"))
    assert len(files) == len(boards) * (1 + 2 + 1)  # data, rows of other shots, scores
    assert all(file.stat().st_size < MOST for file in files)
    text = (folder / PAGE).read_text(encoding="utf-8")
    assert text.count("<tr id=") == 100


def test_a_page_with_three_numbers_of_each_dataset_is_small(tmp_path: Path) -> None:
    (made,) = crowded.boards("base_to_new", (16,))[:1]
    assert len(made.columns) == 36 and len(made.rows) == 100
    page = crowded.site_of([made], tmp_path / "site") / "protocols" / "base_to_new.html"
    assert first_load(page) < MOST
    links = re.findall(r'href="\.\./errors/[^"#]+', page.read_text(encoding="utf-8"))
    assert len(links) == len(set(links)) == 100 * 11  # each record's page once


@NEEDED
def test_a_page_of_two_full_suites_is_small(browser: Any, tmp_path: Path) -> None:
    """The second one is loaded when it is asked for."""
    made = [crowded.boards("base_to_new", (16,), suite=name)[0] for name in ("clip", "demo")]
    out = crowded.site_of(made, tmp_path / "site")
    assert first_load(out / "protocols" / "base_to_new.html") < MOST
    with opened(browser, out) as tab:
        page = tab.open("protocols/base_to_new.html")
        playwright.expect(page.locator("section[data-suite=demo] tbody tr")).to_have_count(0)
        page.get_by_role("button", name="demo", exact=True).click()
        shown(page).locator("form.filters").wait_for()
        assert numbers(page) == right(made[1:], made[1].metric.name, 16)
        assert page.evaluate("location.hash").startswith("#suite=demo")


def test_only_scores_grow_with_records() -> None:
    def sizes(seeds: int) -> tuple[int, int]:
        board = crowded.boards("few_shot", (16,), seeds)[0]
        data = {"rows": [{"id": row.id, "values": {}} for row in board.rows], "metric": {}}
        parts = (table_data.packed(data, board), table_data.scores(board))
        few, many = (len(json.dumps(part)) for part in parts)
        return few, many

    (few, scores), (again, more) = sizes(3), sizes(12)
    assert abs(again - few) < 0.02 * few and more > 3 * scores


def shown(page: Any) -> Any:
    return page.locator("section.board:not([hidden])")


def numbers(page: Any) -> list[str]:
    """The first number of each row."""
    cells = shown(page).locator("> .scroll tbody tr td:nth-of-type(2)").all_inner_texts()
    return [text.split()[0] for text in cells]


def right(boards: list[Board], name: str, shots: int) -> list[str]:
    (board,) = [each for each in boards if each.metric.name == name]
    own = [row for row in board.rows if row.shots == shots]
    return [board.metric.text(row.values[board.main].mean) for row in own]


@NEEDED
def test_another_metric_shows_its_numbers(tab: Tab, boards: list[Board]) -> None:
    page = tab.open(PAGE)
    scripts = page.locator("script[src*='few_shot/']")
    assert numbers(page) == right(boards, "accuracy", 16)
    playwright.expect(scripts).to_have_count(1)
    page.get_by_role("button", name="Brier score").click()
    shown(page).locator("form.filters").wait_for()
    assert numbers(page) == right(boards, "brier", 16)
    playwright.expect(scripts).to_have_count(2)  # its own, and no other
    assert "metric=brier" in page.evaluate("location.hash")
    shown(page).locator("select[name=shots]").select_option("4")
    shown(page).get_by_text("100 of 300 rows").wait_for()
    page.wait_for_function("document.querySelectorAll('script[src*=rows-4]').length == 1")
    shown(page).locator("> .scroll tbody tr").first.wait_for()
    assert numbers(page) == right(boards, "brier", 4)
    page.get_by_role("button", name="accuracy in %", exact=True).click()
    assert numbers(page) == right(boards, "accuracy", 16)


@NEEDED
def test_a_link_to_a_view_opens_it(tab: Tab, boards: list[Board]) -> None:
    """In another metric and count of shots, sorted, with two rows side by side."""
    (board,) = [each for each in boards if each.metric.name == "brier"]
    ours = [row for row in board.rows if row.shots == 1]
    chosen = "+".join(row.id.removeprefix("clip-brier-") for row in ours[:2])
    view = f"shots=1&columns=average&sort=Average:desc&compare={chosen}"
    page = tab.open(f"{PAGE}#suite=clip&metric=brier&{view}")
    panel = shown(page).get_by_role("region", name="Side by side")
    panel.locator("tbody tr").first.wait_for()
    shown(page).locator("> .scroll tbody tr").first.wait_for()
    found = [float(text) for text in numbers(page)]
    assert found == sorted(found, reverse=True)
    assert sorted(found) == sorted(map(float, right(boards, "brier", 1)))
    playwright.expect(panel).to_contain_text(ours[0].title, use_inner_text=True)
    playwright.expect(panel.locator("tbody tr").first.locator("td").nth(3)).to_have_text(
        "3", use_inner_text=True
    )  # seeds


@NEEDED
def test_of_many_rows_those_are_laid_out_that_somebody_gets_to(
    tab: Tab, boards: list[Board]
) -> None:
    """Sorting takes time with what is laid out, and counts all rows."""
    page = tab.open(f"{PAGE}#suite=clip&shots=")
    board = shown(page)
    board.locator("select[name=shots]").select_option("")
    rows, further = board.locator("> .scroll tbody tr"), board.locator("button.further")
    further.filter(has_text="The first 120 of 300 rows").wait_for()
    playwright.expect(rows).to_have_count(120)
    playwright.expect(board.get_by_text("300 of 300 rows")).to_have_count(1)
    board.locator("th[data-column]").first.click()  # worst first: as sorted, best first
    board.locator("th[data-column]").first.click()
    (own,) = [each for each in boards if each.metric.name == "accuracy"]
    means = sorted(row.values[own.main].mean for row in own.rows)
    ends = {own.metric.text(means[0]), own.metric.text(means[-1])}
    playwright.expect(rows).to_have_count(120)
    assert numbers(page)[0] in ends
    further.focus()  # the keyboard gets there, and by that the next rows do
    rows.nth(120).wait_for()
    board.locator("th[data-column]").first.click()
    playwright.expect(rows).to_have_count(120)  # whoever sorts looks at the first rows again
    with page.expect_download() as got:
        board.get_by_role("button", name="CSV").click()
    assert len(got.value.path().read_text(encoding="utf-8").splitlines()) > 300
    there = set(rows.evaluate_all("rows => rows.map((row) => row.id)"))
    last = next(row.id for row in own.rows if row.id not in there)
    page.evaluate(
        """id => {
          const link = Object.assign(document.createElement('a'), { href: `#${id}` });
          document.querySelector('section.board:not([hidden])').append(link);
          link.click();
        }""",
        last,
    )
    playwright.expect(page.locator(f"tr[id='{last}']")).to_have_count(1)
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    playwright.expect(rows).to_have_count(300)
    playwright.expect(further).to_be_hidden()


@NEEDED
def test_presets_that_are_one_in_fact_are_found_by_each(browser: Any, tmp_path: Path) -> None:
    (board,) = crowded.boards("few_shot", (16,))[:1]
    both = ("paper", "unified")
    ways: list[tuple[str, tuple[str, ...]]] = [("paper", both), ("paper", ("paper",))]
    ways += [("unified", ("unified",)), ("paper", ())]  # the last learns nothing
    rows = [
        replace(row, preset=preset, settings=settings)
        for row, (preset, settings) in zip(board.rows, ways, strict=False)
    ]
    out = crowded.site_of([replace(board, rows=tuple(rows))], tmp_path / "site")
    with opened(browser, out) as tab:
        section = shown(tab.open(PAGE))
        choice = section.locator("select[name=preset]")
        for preset, right in (("paper", {0, 1, 3}), ("unified", {0, 2, 3})):
            choice.select_option(preset)
            playwright.expect(section.locator("output")).to_have_text("3 of 4 rows")
            ids = section.locator("> .scroll tbody tr").evaluate_all("all => all.map((e) => e.id)")
            assert set(ids) == {rows[number].id for number in right}


@NEEDED
def test_of_many_methods_the_best_and_the_chosen_have_colours(
    tab: Tab, boards: list[Board]
) -> None:
    page = tab.open(PAGE)
    plots = shown(page).locator("figure[data-plot=shots]")
    lit = "a:not(.back)"
    plots.locator(lit).first.wait_for()

    def methods() -> set[str]:
        return set(plots.locator(lit).evaluate_all("all => all.map((e) => e.dataset.method)"))

    (own,) = [each for each in boards if each.metric.name == "accuracy"]
    rows = sorted(own.rows, key=lambda row: (row.shots == 16, row.values[own.main].mean))
    best = {row.method for row in rows[-10:]}
    assert methods() == best
    playwright.expect(plots.locator("a")).to_have_count(300)
    other = rows[-50].method
    button = shown(page).locator(f"ul.legend button[data-method={other}]")
    button.focus()
    page.keyboard.press("Enter")
    assert methods() == {*best, other}
    assert button.evaluate("e => e === document.activeElement")
    assert rows[-50].title.split(" [")[0] in plots.locator(".names text").all_text_contents()
    page.keyboard.press("Enter")
    assert methods() == best


@NEEDED
def test_what_cannot_be_loaded_is_said(browser: Any, folder: Path, tmp_path: Path) -> None:
    kept = folder / "protocols" / "few_shot" / "clip-nll.js"
    moved = kept.rename(tmp_path / "gone.js")
    tab = Tab(browser, folder)
    page = tab.open(PAGE)
    button = page.locator("button[data-metric=nll]")
    button.click()
    told = page.get_by_role("status").filter(has_text="few_shot/clip-nll.js cannot be loaded")
    told.wait_for()
    moved.rename(kept)
    button.click()
    shown(page).locator("form.filters").wait_for()
    playwright.expect(told).to_be_hidden()
    page.context.close()
    assert all("clip-nll.js" in line or "ERR_FILE_NOT_FOUND" in line for line in tab.wrong)
