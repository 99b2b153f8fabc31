"""The table of a board in headless Chromium: what it answers, side by side, permalinks, downloads,
sticky cells, cards on a phone."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from promptbench import records as store
from promptbench.leaderboard.boards import building
from promptbench.leaderboard.boards.board import Board
from promptbench.leaderboard.checking import known
from promptbench.leaderboard.checking.verdicts import Verdict
from promptbench.leaderboard.web import site
from promptbench.records import Record
from promptbench.report.comparing import comparison
from promptbench.statistics import t_test
from promptbench.support import bibtex
from tests.leaderboard.browsing import NEEDED, Tab, opened
from tests.metrics.test_theirs import DATASETS, written

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytestmark = NEEDED
# Of the 90 images of one class and the 10 of the other, how many are right: by seed; each dataset
# has one more wrong.
RIGHT = {
    "coop": ((80, 5), (83, 6), (85, 2), (79, 4)),
    "maple": ((82, 7), (84, 7), (88, 5)),
    "kgcoop": ((70, 3), (75, 3), (71, 6)),
}
PAGE = "protocols/base_to_new.html"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Record]]:
    """Records by method, of three datasets and three seeds, CoOp's of four."""
    base = tmp_path_factory.mktemp("records")
    for method, by_seed in RIGHT.items():
        for seed, (one, other) in enumerate(by_seed, 1):
            for less, dataset in enumerate(DATASETS):
                right = (one - less * seed, other - less)
                written(base / method / dataset / str(seed), method, seed, right, dataset)
    return {
        name: [of_the_suite(store.read(path)) for path in store.find([base / name])]
        for name in RIGHT
    }


def of_the_suite(record: Record) -> Record:
    """The record with the suite's backbone, and other numbers on new classes than on base ones."""
    suite = known.suite("demo")
    named = {"name": suite.backbone, "weights": suite.weights}
    base, new = record.targets
    one, other = new.correct
    worse = new.model_copy(update={"correct": [one - 7 * record.seed**2 % 25, other]})
    backbone = record.backbone.model_copy(update=named)
    return record.model_copy(update={"backbone": backbone, "targets": [base, worse]})


@pytest.fixture(scope="module")
def boards(made: dict[str, list[Record]]) -> list[Board]:
    """The boards of base-to-new: of papers, and of the records."""
    found = building.boards(verdicts(made))
    return [each for each in found if each.protocol == "base_to_new"]


def verdicts(made: dict[str, list[Record]]) -> list[Verdict]:
    """All records as accepted."""
    own = [record for records in made.values() for record in records]
    return [Verdict(Path(f"{i}/record.json"), r, "consistent") for i, r in enumerate(own)]


@pytest.fixture(scope="module")
def folder(made: dict[str, list[Record]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pages of two protocols, with the papers' numbers and the records."""
    out = tmp_path_factory.mktemp("table") / "site"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(known, "protocol_names", lambda: ("base_to_new", "few_shot"))
        patch.setattr(site, "registered", lambda: None)
        patch.setattr(site.copies, "copy", lambda accepted, out: None)
        patch.setattr(site, "write_errors", lambda *given: None)
        site.build(verdicts(made), out)
    return out


@pytest.fixture
def tab(browser: Any, folder: Path) -> Iterator[Tab]:
    with opened(browser, folder, viewport={"width": 1000, "height": 800}) as found:
        yield found


def demo(page: Any) -> Any:
    return page.locator("section[data-suite=demo]")


def row_of(section: Any, title: str) -> Any:
    return section.locator(".board > .scroll tbody tr, .scroll tbody tr").filter(
        has=section.page.get_by_role("link", name=title, exact=True)
    )


def test_the_sentence_says_what_the_statistics_say(tab: Tab, boards: list[Board]) -> None:
    found = next(b for b in boards if b.suite.name == "demo")
    a, b = (next(r for r in found.rows if r.method == name) for name in ("maple", "coop"))
    one, other = a.values[found.main], b.values[found.main]
    seeds = dict(one.by_seed).keys() & dict(other.by_seed).keys()
    test = t_test([dict(one.by_seed)[s] - dict(other.by_seed)[s] for s in sorted(seeds)])
    assert one.interval and other.interval and test.p is not None and len(seeds) == 3
    overlap = one.interval[0] <= other.interval[1]
    page = tab.open(PAGE + "#suite-demo")
    text = demo(page).locator(".answer").inner_text()
    assert text == (
        f"MaPLe leads the inductive track with {one.mean:.2f} ±{one.half_width:.2f} (Average, HM), "
        f"{one.mean - other.mean:.2f} points ahead of CoOp ({other.mean:.2f} "
        f"±{other.half_width:.2f}), over 3 datasets and 3 seeds; the intervals "
        f"{'overlap' if overlap else 'do not overlap'}, paired t-test over 3 seeds: "
        f"p {'= ' + format(test.p, '.3f') if test.p >= 0.001 else '< 0.001'}."
    )


def test_published_numbers_are_not_ranked(tab: Tab) -> None:
    section = tab.open(PAGE).locator("section[data-suite=clip]")
    assert (
        section.locator(".scroll caption")
        .inner_text()
        .startswith("Published numbers, no seeds: no ranks")
    )
    playwright.expect(section.locator("thead th", has_text="rank")).to_have_count(0)
    playwright.expect(section.locator(".scroll tbody b, .scroll tbody u")).to_have_count(0)
    playwright.expect(demo(tab.page).locator("thead th", has_text="rank")).to_have_count(1)


def test_the_sentence_follows_the_track(tab: Tab) -> None:
    section = tab.open(PAGE).locator("section[data-suite=clip]")
    section.locator("select[name=track]").select_option("teacher")
    shown = section.locator(".answer:visible")
    playwright.expect(shown).to_have_count(1)
    leads = re.compile("^PromptSRC.CasPL leads the teacher track with 82.69")
    playwright.expect(shown).to_have_text(leads, use_inner_text=True)


def test_best_and_second_are_marked_where_seeds_allow_it(tab: Tab) -> None:
    section = demo(tab.open(PAGE + "#suite-demo"))
    assert row_of(section, "MaPLe").locator("td b").first.inner_text().startswith("8")
    assert row_of(section, "CoOp").locator("td u").count() > 0
    playwright.expect(row_of(section, "KgCoOp").locator("td b, td u")).to_have_count(0)
    style = row_of(section, "MaPLe").locator(".dot").first.get_attribute("style") or ""
    x, low, high = (float(text) for text in re.findall(r"[\d.]+", style))
    assert 0 <= low < x < high <= 100


def test_original_and_rerun_are_told_apart_with_their_source(tab: Tab) -> None:
    section = tab.open(PAGE).locator("section[data-suite=clip]")
    row = row_of(section, "MaPLe").filter(has_text="re-run").first
    badge = row.locator(".state.re-run")
    assert "others who ran the method" in (badge.get_attribute("title") or "")
    assert row.locator("a.out").first.get_attribute("href") == (
        "https://github.com/QByteM/QByteM.github.io/blob/47ee4a3/"
        "_pages/papers/images/alignednorm/Tab1.png"
    )
    original = row_of(section, "MaPLe").filter(has_text="original").first
    assert (original.locator("a.out").first.get_attribute("href") or "").startswith(
        "https://arxiv.org/abs/"
    )
    playwright.expect(section.locator("details.sources")).to_have_count(0)


@pytest.mark.parametrize("pair", [("maple", "kgcoop"), ("coop", "maple")])
def test_side_by_side_is_what_compare_computes(
    tab: Tab, made: dict[str, list[Record]], pair: tuple[str, str]
) -> None:
    """Differences, intervals, p-values of both tests and Holm's; what seeds that only one row has
    make impossible is said, not guessed."""
    (right,) = comparison.compare(made[pair[0]], made[pair[1]])
    page = tab.open(PAGE + "#suite-demo")
    found = page.evaluate(
        """async ([one, other]) => {
          const { file } = document.querySelector("section[data-suite=demo]").dataset;
          const data = boardData(file, await boardFiles.get(file));
          await data.withScores();
          const row = (name) => data.rows.find((each) => each.method === name);
          const { why, entries } = pairs.compare(data, row(one), row(other));
          return [why, entries.map((e) => ({ ...e, label: data.columns[e.column].label }))];
        }""",
        list(pair),
    )
    assert found[0] == ""
    entries = {entry["label"]: entry for entry in found[1]}
    assert len(entries) == len(right.differences) == 12
    same = len(RIGHT[pair[0]]) == len(RIGHT[pair[1]])
    for d in right.differences:
        entry = entries[f"{d.group}, {d.title}"]
        if not same and d.title == "HM":
            assert entry["difference"] is None and entry["p"] is None
            continue
        assert (entry["a"], entry["b"]) == pytest.approx((d.a, d.b), abs=1e-7)
        assert entry["difference"] == pytest.approx(d.difference.mean, abs=1e-7)
        assert entry["n"] == d.over_seeds.n == 3
        assert entry["p"] == pytest.approx(d.over_seeds.p, rel=1e-5)
        assert entry["spread"]["ends"] == pytest.approx(d.difference.interval, abs=1e-5)
        if d.across is not None:
            assert entry["across"]["n"] == d.across.n
            assert entry["across"]["p"] == pytest.approx(d.across.p)
        if same:
            assert entry["holm"] == pytest.approx(d.holm, rel=1e-5)
            if d.across is not None:
                assert entry["acrossHolm"] == pytest.approx(d.across_holm)


def test_rows_are_chosen_with_the_keyboard_and_shared_by_a_link(tab: Tab) -> None:
    page = tab.open(PAGE + "#suite-demo")
    section = demo(page)
    for title in ("MaPLe", "KgCoOp"):
        row_of(section, title).get_by_role("checkbox").press("Space")
    section.locator("select[name=columns]").select_option("all")
    head = section.locator(".scroll thead th[title='Average, new']")
    head.get_by_role("button").press("Enter")
    panel = section.get_by_role("region", name="Side by side")
    lines = panel.locator("tbody tr")
    playwright.expect(lines).to_have_count(12)
    before = panel.inner_text()
    address = page.evaluate("location.href")
    assert section.locator(".permalink").get_attribute("href") == page.evaluate("location.hash")
    other = page.context.browser.new_context().new_page()
    other.goto(address)
    shown = demo(other)
    playwright.expect(shown).to_be_visible()
    playwright.expect(shown.get_by_role("region", name="Side by side")).to_have_text(
        before, use_inner_text=True
    )
    assert shown.locator("select[name=columns]").input_value() == "all"
    again = shown.locator(".scroll thead th[title='Average, new']")
    playwright.expect(again).to_have_attribute("aria-sort", "descending")
    other.context.close()


def test_filters_and_numbers_come_from_the_address(tab: Tab) -> None:
    page = tab.open(
        f"{PAGE}#suite=clip&track=transductive&text=kd&numbers=difference&columns=average"
    )
    section = page.locator("section[data-suite=clip]")
    playwright.expect(section.locator("output")).to_have_text(re.compile(r"^[1-5] of 114 rows$"))
    assert section.locator("select[name=numbers]").input_value() == "difference"
    section.get_by_role("button", name="Reset").click()
    assert page.evaluate("location.hash") in ("#suite=clip", "#suite=clip&metric=accuracy")
    page = tab.open(f"{PAGE}#suite=clip&track=nobody&shots=3")  # what there is not stays usual
    playwright.expect(section.locator("output")).to_have_text("98 of 114 rows")


def download(page: Any, section: Any, form: str) -> str:
    with page.expect_download() as waiting:
        section.get_by_role("button", name=form, exact=True).click()
    return Path(waiting.value.path()).read_text(encoding="utf-8")


def test_a_choice_of_everything_is_in_the_address_where_it_is_not_the_usual(tab: Tab) -> None:
    page = tab.open("protocols/few_shot.html")
    section = page.locator("section[data-suite=clip]")
    section.locator("select[name=shots]").select_option("")
    section.locator("select[name=provenance]").select_option("original")
    section.locator("select[name=columns]").select_option("average")
    shown = section.locator("output").inner_text()
    view = page.evaluate("location.hash")
    assert view == "#suite=clip&shots=&provenance=original&columns=average"
    again = tab.open(f"protocols/few_shot.html{view}").locator("section[data-suite=clip]")
    playwright.expect(again.locator("output")).to_have_text(shown)
    assert shown != "11 of 49 rows"
    assert again.locator("select[name=shots]").input_value() == ""


def test_what_is_shown_can_be_downloaded(tab: Tab, made: dict[str, list[Record]]) -> None:
    page = tab.open(f"{PAGE}#suite=demo&columns=average&text=co")
    section = demo(page)
    playwright.expect(section.locator("output")).to_have_text("2 of 3 rows")
    lines = list(csv.DictReader(io.StringIO(download(page, section, "CSV"))))
    assert [line["title"] for line in lines] == ["CoOp", "KgCoOp"]
    found = json.loads(download(page, section, "JSON"))
    assert found["address"].startswith(f"{PAGE}#suite=demo")  # and not where the file lies
    numbers = found["rows"][1]["numbers"]
    assert list(numbers) == ["Average, HM", "Average, base", "Average, new"]
    number = numbers["Average, base"]
    assert float(lines[1]["Average, base"]) == number["mean"]
    assert float(lines[1]["Average, base, low"]) == number["spread"][0]
    right = [
        sum(record.targets[0].correct) for record in made["kgcoop"] if record.seed == 2
    ]  # of 100 images each
    assert number["by_seed"]["2"] == pytest.approx(sum(right) / 3)
    entries = download(page, section, "BibTeX")
    assert "@misc{promptbench," in entries and "2109.01134" in entries
    assert "maple" not in entries
    for entry in re.split(r"\n(?=@|%)", entries):
        body = entry[entry.index("@") :] if "@" in entry else ""
        assert not body or bibtex.parsed_key(body)


def test_differences_are_downloaded_as_such(tab: Tab) -> None:
    page = tab.open(f"{PAGE}#suite=clip&numbers=difference&columns=average")
    section = page.locator("section[data-suite=clip]")
    lines = list(csv.DictReader(io.StringIO(download(page, section, "CSV"))))
    numbers = [line["Average, HM, minus the best published"] for line in lines[:2]]
    assert [float(text) for text in numbers] == pytest.approx([0, -0.02])
    assert "Accuracy in \\%, minus the best published" in download(page, section, "LaTeX")


def is_well_formed(latex: str) -> bool:
    """Whether braces and environments match and all lines of the tabular have as many cells."""
    bare = re.sub(r"\\[{}&%]", "", latex)
    (columns,) = re.findall(r"\\begin\{tabular\}\{(\w+)\}", bare)
    inside = bare[bare.index(r"\toprule") : bare.index(r"\bottomrule")]
    widths = set()
    for line in inside.splitlines():
        if line.endswith(r"\\"):
            spans = [int(n) - 1 for n in re.findall(r"\\multicolumn\{(\d+)\}", line)]
            widths.add(line.count("&") + 1 + sum(spans))
    begun = re.findall(r"\\begin\{(\w+)\}", bare)
    ended = re.findall(r"\\end\{(\w+)\}", bare)
    return (
        bare.count("{") == bare.count("}")
        and widths == {len(columns)}
        and begun == list(reversed(ended))
    )


@pytest.mark.parametrize("suite", ["demo", "clip"])
def test_the_latex_table_is_one_of_a_paper(tab: Tab, suite: str, tmp_path: Path) -> None:
    view = (
        "" if suite == "demo" else "&track=inductive&over=11+datasets&backbone=ViT-B-16-quickgelu"
    )
    page = tab.open(f"{PAGE}#suite={suite}{view}")
    section = page.locator(f"section[data-suite={suite}]")
    text = download(page, section, "LaTeX")
    assert text.startswith("% needs \\usepackage") and is_well_formed(text)
    assert f"\\label{{tab:base-to-new-{suite}-accuracy}}" in text
    assert r"\textbf{" in text and r"\underline{" in text
    assert (r"$\pm$" in text) == (suite == "demo")
    assert ("no seeds, so that no test supports the order" in text) == (suite == "clip")
    section.locator("select[name=spread]").select_option("without")
    assert r"$\pm$" not in download(page, section, "LaTeX")
    if shutil.which("pdflatex"):
        (tmp_path / "table.tex").write_text(text, encoding="utf-8")
        packages = r"\usepackage[T1]{fontenc}\usepackage{booktabs,graphicx,textcomp}"
        (tmp_path / "paper.tex").write_text(
            rf"\documentclass{{article}}{packages}\begin{{document}}\input{{table}}\end{{document}}"
        )
        command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "paper.tex"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stdout[-800:]
        assert "Overfull" not in done.stdout


def test_headings_stay_over_the_columns_that_stay(tab: Tab) -> None:
    page = tab.open(PAGE)
    section = page.locator("section[data-suite=clip]")
    frame = section.locator("> .scroll")
    frame.evaluate("frame => { frame.scrollIntoView(); frame.scrollTo(300, 900); }")
    head = section.locator(".scroll thead th.name").bounding_box()
    box = frame.bounding_box()
    assert head and box
    assert abs(head["x"] - box["x"]) < 3 and abs(head["y"] - box["y"]) < 3
    seen = page.evaluate(
        """([x, y]) => {
          const head = document.elementFromPoint(x + 20, y + 20).closest("th");
          const cell = document.elementFromPoint(x + 20, y + 300).closest("th");
          return [head.textContent.trim(), cell.scope];
        }""",
        [box["x"], box["y"]],
    )
    assert seen == ["method", "row"]


def test_more_columns_are_announced(tab: Tab) -> None:
    section = tab.open(PAGE).locator("section[data-suite=clip]")
    button = section.locator(".onward")
    playwright.expect(button).to_have_text(re.compile(r"^\d+ more columns →$"))
    section.locator("select[name=columns]").select_option("average")
    playwright.expect(button).to_be_hidden()


def test_names_are_short_and_filters_with_one_option_are_not_there(tab: Tab) -> None:
    page = tab.open(PAGE)
    section = page.locator("section[data-suite=clip]")
    groups = section.locator("thead th.group")
    assert "cars" in groups.all_inner_texts()
    assert groups.filter(has_text="cars").get_attribute("title") == "StanfordCars"
    assert section.locator("select[name=shots]").input_value() == "16"
    for select in page.locator("form.filters select:not([name=sort], [name=numbers])").all():
        assert select.locator("option").count() > 2
    few = tab.open("protocols/few_shot.html").locator("section[data-suite=clip]")
    playwright.expect(few.locator(".scroll thead tr")).to_have_count(1)


def test_on_a_phone_rows_are_cards(browser: Any, folder: Path) -> None:
    tab = Tab(browser, folder, viewport={"width": 390, "height": 844})
    page = tab.open(PAGE)
    section = page.locator("section[data-suite=clip]")
    card = section.locator(".scroll tbody tr").first
    for cell in card.locator("td:visible").all():
        box = cell.bounding_box()
        assert box and box["x"] >= 0 and box["x"] + box["width"] <= 390
    labels = card.locator("td").evaluate_all("cells => cells.map((c) => c.dataset.label)")
    assert labels[:4] == ["Average, HM", "Average, base", "Average, new", "datasets"]
    playwright.expect(section.locator("select[name=track]")).to_be_hidden()
    section.get_by_text("Filters, columns and numbers").click()
    section.locator("select[name=sort]").select_option("Average, new:desc")
    news = section.locator(".scroll tbody td[data-label='Average, new']").all_inner_texts()[:9]
    numbers = [float(text.split("\n")[-1].rstrip("¶")) for text in news]
    assert numbers == sorted(numbers, reverse=True)
    page.context.close()
    assert tab.wrong == []
