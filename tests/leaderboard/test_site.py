"""The boards and the site's files: every number is there, and names are text."""

from __future__ import annotations

import dataclasses
import io
import json
import re
from html.parser import HTMLParser
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from rich.console import Console

from promptbench import records
from promptbench.cli import main
from promptbench.leaderboard import terminal
from promptbench.leaderboard.boards import building, leaders, ranking, same_cell
from promptbench.leaderboard.boards.board import Board, BoardRow
from promptbench.leaderboard.checking import known
from promptbench.leaderboard.web import method_list, method_pages, pages
from promptbench.records.scores import load
from promptbench.report import published
from promptbench.statistics import Estimate, estimate
from tests.leaderboard_hostile import SCRIPT, hostile


def call(*arguments: Any) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def papers() -> list[Board]:
    return building.boards([])


def test_the_page_of_methods_has_every_method_once(papers: list[Board]) -> None:
    found = method_list.method_list(method_pages.methods(papers), papers)
    names = [row["name"] for row in found["run"]]
    assert sorted(names) == sorted(known.method_names())
    others = [row["name"] for row in found["printed"]]
    assert sorted(names + others) == sorted({*known.method_names(), *published.methods()})
    assert sum(c["count"] for c in found["checked"]) == len(names)
    coop = next(row for row in found["run"] if row["name"] == "coop")
    assert coop["parameters"] == "2,048" and coop["extra"] == "none"
    assert (coop["track"], coop["equals"]) == ("inductive", "reference code")


def test_the_published_range_is_of_whole_averages_under_the_boards_conditions(
    papers: list[Board],
) -> None:
    found = method_list.method_list(method_pages.methods(papers), papers)
    lines = {row["name"]: row["published"] for row in [*found["run"], *found["printed"]]}
    printed = [
        float(line["value"])
        for line in published.lines("base_to_new")
        if (line["method"], line["dataset"], line["split"]) == ("mmrl", "Average", "hm")
        and line["backbone"] == "ViT-B/16"
        and line["inference"] == "decoupled"
        and line["over"] in ("", "11")
    ]
    ends = "–".join(dict.fromkeys(f"{end:.2f}" for end in (min(printed), max(printed))))
    assert any(
        line.startswith(f"base to new, HM: {ends} (") and "split knowledge" in line
        for line in lines["mmrl"]
    )


NOT_TRAINED = ("zeroshot",)  # their numbers stand beside every count of shots


@pytest.mark.parametrize("protocol", ["base_to_new", "cross_dataset", "few_shot"])
def test_every_published_number_is_on_the_board(papers: list[Board], protocol: str) -> None:
    (found,) = [b for b in papers if b.protocol == protocol]
    shown = sorted(
        round(estimate.mean, 2)
        for row in found.rows
        for estimate in row.values.values()
        if row.method not in NOT_TRAINED
    )
    printed = sorted(
        round(float(line["value"]), 2)
        for line in published.lines(protocol)
        if line["method"] not in NOT_TRAINED
    )
    assert shown == printed


def test_domain_generalisation_shows_every_published_number(papers: list[Board]) -> None:
    (found,) = [b for b in papers if b.protocol == "domain_generalization"]
    shown = [round(e.mean, 2) for row in found.rows for e in row.values.values()]
    lines = published.lines("domain_generalization")
    assert sorted(shown) == sorted(round(float(line["value"]), 2) for line in lines)


def test_every_method_of_the_import_is_on_the_board(papers: list[Board]) -> None:
    for found in papers:
        lines = published.lines(found.protocol)
        assert {row.method for row in found.rows} == {line["method"] for line in lines}
        assert {row.backbone.replace("-quickgelu", "") for row in found.rows} == {
            line["backbone"].replace("/", "-") for line in lines
        }


BUDGET = "equal budget: {} trials on 1 seed, Sobol points, highest mean"
VALIDATED = "best validation epoch"


def row(mean: float, half: float | None, **changes: Any) -> BoardRow:
    facts: dict[str, Any] = {
        "id": "", "method": "m", "title": "M", "paradigm": "p", "state": "verified",
        "preset": "paper", "inference": "unified", "backbone": "b", "shots": 16, "n": 3,
        "uses_split": False, "values": {"x": Estimate(mean, half, 3)},
    }  # fmt: skip
    return BoardRow(**facts | changes)


def test_ranks_are_the_places_that_paired_tests_leave_open() -> None:
    seeds = [(80.0, 81.0, 82.0), (79.0, 80.1, 80.9), (60.0, 61.2, 61.9), (70.0, 80.0, 65.0)]
    rows = [row(0, None, values={"x": of_seeds(*values)}) for values in (*seeds, (90.0, 91.0))]
    rows.append(row(85, 1, uses_split=True, values={"x": of_seeds(90.0, 91.1, 92.0)}))
    rows.append(row(90, None, state="published", values={"x": Estimate(90, None, 0)}))
    found = [r.rank for r in ranking.ranked(rows, "x", load())]
    assert found == [(1, 2), (2, 3), (3, 4), (1, 4), None, None, None]


def test_ranks_are_among_rows_whose_settings_and_epochs_were_chosen_alike() -> None:
    """Zero-shot competes with all and ranks among the papers'; whoever is the only one under its
    conditions has no rank, and the page says why."""
    low, high = of_seeds(60.0, 61.1, 62.0), of_seeds(80.0, 81.0, 82.3)
    tuned = {"settings": (BUDGET.format(4),)}
    rows = [
        row(0, None, values={"x": low}, title="Paper low"),
        row(0, None, values={"x": high}, title="Paper"),
        row(0, None, values={"x": low}, title="Unified low", settings=("unified",)),
        row(0, None, values={"x": high}, title="Unified", settings=("unified",)),
        row(0, None, values={"x": high}, title="Validated", selection=VALIDATED),
        row(0, None, values={"x": high}, title="Tuned", **tuned),
        row(0, None, values={"x": high}, title="Tuned, validated", selection=VALIDATED, **tuned),
        row(0, None, values={"x": low}, title="Both", settings=("paper", "unified")),
    ]
    found = ranking.ranked(rows, "x", load())
    ranks = {r.title: r.rank for r in found}
    assert ranks == {
        "Paper low": (2, 3), "Paper": (1, 1), "Both": (2, 3), "Unified low": (2, 3),
        "Unified": (1, 1), "Validated": None, "Tuned": None, "Tuned, validated": None,
    }  # fmt: skip
    assert [text.partition(" (")[0] for text in ranking.unranked(found, "x")] == [
        *("Validated", "Tuned", "Tuned, validated")
    ]
    zero = row(0, None, values={"x": of_seeds(10.0, 11.0, 12.2)}, title="Zero", settings=())
    found = ranking.ranked([*rows, zero], "x", load())
    assert (found[-1].rank, found[5].rank) == ((4, 4), (1, 1)) and not ranking.unranked(found, "x")


def test_marks_need_two_rows_of_seeds_in_the_group() -> None:
    both = {"values": {"x": of_seeds(60.0, 61.1, 62.0)}, "best": frozenset({"x"})}
    rows = [row(0, None, **both), row(0, None, **both), row(0, None, selection=VALIDATED, **both)]
    found = [bool(each.best) for each in ranking.with_supported_marks(rows)]
    assert found == [True, True, False]


def test_rows_of_another_selection_rule_have_no_difference_to_papers() -> None:
    paper = row(70, None, state="published")
    for changes, compared in (({}, True), ({"selection": VALIDATED}, False)):
        ours = row(80, 1, **changes)
        found = ranking.difference_to_best(ours, [ours, paper], "x", load())
        assert (bool(found.differences), found.own_difference is not None) == (compared,) * 2


def of_seeds(*values: float) -> Estimate:
    made = estimate(sum(values) / len(values), values)
    return dataclasses.replace(made, by_seed=tuple(enumerate(values)))


def test_differences_are_to_the_best_fair_and_to_the_own_published_number() -> None:
    ours = row(80, 1)
    rows = [
        ours,
        row(79, None, state="published"),
        row(82, None, state="published", method="other"),
        row(90, None, state="published", method="split", uses_split=True),
    ]
    found = ranking.difference_to_best(ours, rows, "x", load())
    assert found.differences == {"x": -2.0} and found.own_difference == 1.0


def test_rows_of_different_tracks_share_neither_rank_nor_difference() -> None:
    seeds = {"inductive": (80.0, 81.0, 82.0), "LLM text": (90.0, 91.1, 92.0)}
    rows = [row(0, None, values={"x": of_seeds(*v)}, track=t) for t, v in seeds.items()]
    assert [r.rank for r in ranking.ranked(rows, "x", load())] == [None, None]
    paper = row(85, None, state="published", track="LLM text")
    found = [ranking.difference_to_best(each, [*rows, paper], "x", load()) for each in rows]
    assert found[0].differences == {} and found[1].differences["x"] == pytest.approx(
        91.03 - 85, 0.01
    )


@pytest.mark.parametrize(("count", "compared"), [(10, True), (11, False), (None, False)])
def test_averages_over_other_datasets_are_not_compared(count: int | None, compared: bool) -> None:
    ours = row(80, 1, over={"x": 10})
    paper = row(79, None, state="published", over={"x": count})
    found = ranking.difference_to_best(ours, [ours, paper], "x", load())
    assert (found.own_difference is not None, bool(found.differences)) == (compared, compared)


def test_leaders_rest_on_what_may_be_compared(papers: list[Board]) -> None:
    """Decoupled inference, fewer shots, other backbones and averages over who knows what do not
    lead; each track has its own leader."""
    (found,) = [b for b in papers if b.protocol == "base_to_new"]
    told = {x.name: (x.row.title, x.row.values[found.main].mean) for x in leaders.leaders(found)}
    assert told == {
        "inductive": ("AlignedNorm", 81.45),
        "LLM text": ("LLaMP", 81.27),  # HiCroPL's 81.75 is over nobody says how many datasets
        "teacher": ("PromptSRC+CasPL", 82.69),
        "transductive": ("PromptKD+ATPrompt", 84.35),
    }
    first = leaders.leaders(found)[0]
    assert (len(first.rows), first.methods, first.aside) == (30, 23, 18)
    assert leaders.told(first, found)["rests"] == "average over 11 datasets; one source (original)"
    (cross,) = [b for b in papers if b.protocol == "cross_dataset"]
    over = {r.method: leaders.average_over(r, cross) for r in cross.rows if "atprompt" in r.method}
    assert over == {
        "atprompt_coop": "10 datasets", "cocoop+atprompt": "11 datasets",
        "atprompt_maple": "not stated",
    }  # fmt: skip


def with_rows(papers: list[Board], *rows: BoardRow) -> Board:
    """The real board of base_to_new with these rows only, best first."""
    (found,) = [b for b in papers if b.protocol == "base_to_new"]
    column = found.main_column
    whole = {"over": {column.key: column.members}, "backbone": found.suite.backbone, "shots": 16}
    own = [
        dataclasses.replace(r, id=r.title, values={column.key: r.values["x"]}, **whole)
        for r in rows
    ]
    return dataclasses.replace(found, rows=tuple(own))


def test_settings_that_were_chosen_otherwise_have_leaders_of_their_own(
    papers: list[Board],
) -> None:
    """Papers, one setting for all, each budget; and by which rule an epoch is selected. What learns
    nothing competes with all of them, and has no conditions of its own."""
    twelve = {"settings": (BUDGET.format(12),), "selection": VALIDATED}
    found = with_rows(
        papers,
        row(90, 1, title="Twelve", method="a", **twelve),
        row(89, 1, title="Validated", method="b", selection=VALIDATED),
        row(88, 1, title="Zero", method="zeroshot", settings=()),
        row(87, 1, title="Twelve too", method="c", **twelve),
        row(86, 1, title="Paper", method="b"),
        row(85, 1, title="Unified", method="b", settings=("unified",)),
        row(84, 1, title="Text", method="d", settings=(BUDGET.format(4),), track="LLM text"),
    )
    led = [(x.name, x.row.title, len(x.rows)) for x in leaders.leaders(found)]
    assert led == [
        ("inductive, paper settings", "Zero", 2),
        (f"inductive, paper settings, {VALIDATED}", "Validated", 2),
        ("inductive, unified settings", "Zero", 2),
        (f"inductive, equal budget: 12 trials on 1 seed, {VALIDATED}", "Twelve", 3),
        ("LLM text, equal budget: 4 trials on 1 seed", "Text", 1),
    ]
    assert "Sobol points, highest mean" in leaders.leaders(found)[3].about
    page = pages.board_page(found)
    assert [each["track"] for each in page["leaders"]] == [name for name, *_ in led]
    assert [entry["title"] for entry in page["top"]] == ["Zero", "Paper"]
    assert page["top_label"].endswith("inductive, paper settings")


def test_other_weights_and_precisions_have_leaders_of_their_own(papers: list[Board]) -> None:
    found = with_rows(
        papers, row(9, 1, title="Half", around="fp16"), row(8, 1, title="Full"),
    )  # fmt: skip
    led = [(x.name, x.row.title) for x in leaders.leaders(found)]
    assert led == [("inductive", "Full"), ("inductive, fp16", "Half")]


def test_budgets_that_differ_in_rule_only_are_told_apart(papers: list[Board]) -> None:
    found = with_rows(
        papers,
        *(row(n, 1, title=f"{n}", settings=(f"equal budget: 4 trials, by {n}",)) for n in (9, 8)),
    )
    names = [leader.name for leader in leaders.leaders(found)]
    assert names == [f"inductive, equal budget: 4 trials, by {n}" for n in (8, 9)]


def test_what_learns_nothing_leads_where_nothing_else_is(papers: list[Board]) -> None:
    found = with_rows(papers, row(9, 1, title="Zero", settings=()))
    assert [(x.name, x.row.title) for x in leaders.leaders(found)] == [("inductive", "Zero")]


def test_rows_are_filtered_by_what_selected_their_epoch(papers: list[Board]) -> None:
    found = with_rows(
        papers, row(9, 1, selection=VALIDATED), row(8, 1), row(7, None, state="published")
    )
    page = pages.board_page(found)
    (own,) = [each for each in page["filters"] if each["field"] == "rule"]
    assert (own["label"], own["values"]) == (
        "selection",
        ["as its paper", VALIDATED, "last epoch"],
    )
    rules = page["data"]["facts"]["rule"]
    assert [rules["values"][place] for place in rules["rows"]] == [
        VALIDATED, "last epoch", "as its paper",
    ]  # fmt: skip


def test_the_front_page_lists_the_best_of_the_first_track(papers: list[Board]) -> None:
    (found,) = [b for b in papers if b.protocol == "base_to_new"]
    page = pages.board_page(found)
    values = ["81.45", "81.11", "80.71", "80.62¶", "80.37¶"]
    assert [entry["value"] for entry in page["top"]] == values
    assert page["top_label"] == "Average, HM, 16 shots, inductive"


def test_a_board_goes_from_track_to_track(papers: list[Board]) -> None:
    (found,) = [b for b in papers if b.protocol == "base_to_new"]
    own = [r.track for r in found.rows]
    assert list(dict.fromkeys(own)) == ["inductive", "LLM text", "teacher", "transductive"]
    assert own == sorted(own, key=list(dict.fromkeys(own)).index)
    assert next(r.title for r in found.rows if "ViT-B-32" in r.title) == "ProLoG [ViT-B-32]"


def test_values_of_the_same_cell_stand_side_by_side(papers: list[Board]) -> None:
    def line(method: str) -> dict[str, Any]:
        tables = [t for t in same_cell.same_cells(method, papers) if t["protocol"] == "base_to_new"]
        usual = next(t for t in tables if "16 shots" in t["about"] and "B-16" in t["about"])
        return next(x for x in usual["lines"] if x["label"] == "Average, HM")

    assert sorted(line("hicropl")["numbers"]) == ["80.60", "81.75"]
    assert (line("hicropl")["range"], line("hicropl")["width"]) == ("80.60–81.75", "1.15")
    assert line("coprompt")["range"] == "78.93–80.48"
    assert line("promptsrc")["range"] == "78.87–79.97"
    assert len(line("promptsrc")["numbers"]) == 4
    assert same_cell.same_cells("proda", papers) == []
    (found,) = [b for b in papers if b.protocol == "base_to_new"]
    one = next(r for r in found.rows if r.method == "proda")
    mine = dataclasses.replace(one, state="verified", n=3)
    both = dataclasses.replace(found, rows=(one, mine))
    assert same_cell.same_cells("proda", [both]) == []  # our own is not a published value


def test_methods_of_papers_have_pages_without_a_command(papers: list[Board]) -> None:
    found = {page["name"]: page for page in method_pages.methods(papers)}
    assert set(published.methods()) <= set(found)
    both = found["coop+dept"]
    assert both["parts"] == [("coop", "CoOp"), ("dept", "DePT")] and not both["runs"]
    assert dict(both["facts"])["year"] == "2023" and both["arxiv"] == "2309.07439"
    assert [m.name for m in found["dept"]["joined"]][:2] == ["coop+dept", "cocoop+dept"]
    assert found["coop"]["runs"] and not found["dept"]["rows"]


class Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.found += [v for k, v in attributes if k in ("href", "src") and v]


@pytest.fixture(scope="module")
def built(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site of the papers and the finished run, for tests that look at it and change nothing."""
    out = tmp_path_factory.mktemp("built") / "site"
    assert call("leaderboard", "build", finished, "--out", out).exit_code == 0
    return out


def test_links_lead_to_files_and_nothing_is_loaded_from_elsewhere(built: Path) -> None:
    pages = sorted(built.glob("**/*.html"))
    assert len(pages) > 20
    for page in pages:
        links = Links()
        links.feed(page.read_text())
        for link in links.found:
            if link.startswith(("https://arxiv.org/", "https://github.com/", "data:,", "#")):
                continue
            if link.startswith(("https://", "http://")) and page.parent.name == "datasets":
                continue  # where their owners publish them
            target = (page.parent / link.split("#")[0]).resolve()
            assert target.is_file() and target.is_relative_to(built), (page, link)


def test_a_users_own_card_stays_at_home(monkeypatch: pytest.MonkeyPatch) -> None:
    own = known.card("counts").model_copy(update={"name": "mine", "suite": "own"})
    monkeypatch.setattr(known, "dataset_names", lambda: frozenset({"counts", "mine"}))
    monkeypatch.setattr(known, "card", {"counts": known.card("counts"), "mine": own}.__getitem__)
    assert [card.name for card in known.suite_cards()] == ["counts"]


def test_images_have_their_size_so_that_no_page_jumps() -> None:
    templates = resources.files("promptbench.leaderboard.web") / "templates"
    images = [
        image
        for each in templates.iterdir()
        for image in re.findall(r"<img [^>]*>", each.read_text("utf-8"))
    ]
    assert len(images) > 2
    assert all(" width=" in image and " height=" in image for image in images)


def test_a_suites_banner_stands_once_above_its_metrics(built: Path) -> None:
    text = (built / "methods" / "coop.html").read_text()
    rows = text[text.index('id="rows"') : text.index('id="same-cell"')]
    headings = re.findall(r'protocols/few_shot.html">[^<]*</a>, suite demo', rows)
    (banner,) = {*re.findall(r'<p class="banner"[^>]*>([^<]*)', rows)}
    few = rows[rows.index('few_shot.html">Few-shot classification</a>, suite demo') :]
    assert len(headings) > 2 and few.count(banner) == 1


def test_records_can_be_downloaded_as_they_are(finished: Path, built: Path) -> None:
    own = {p.read_bytes() for p in records.find([finished])}
    assert {p.read_bytes() for p in records.find([built / "records"])} == own


def test_a_record_of_one_shot_is_called_so(built: Path) -> None:
    page = (built / "methods" / "coop.html").read_text(encoding="utf-8")
    assert "fills/all, 1 shot, seed 1" in page


def test_building_again_replaces_a_site_and_nothing_else(tmp_path: Path) -> None:
    out = tmp_path / "site"
    for _ in range(2):
        assert call("leaderboard", "build", "--out", out).exit_code == 0
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").touch()
    refused = call("leaderboard", "build", "--out", tmp_path / "mine")
    assert refused.exit_code == 2 and "is not a site" in refused.stderr
    assert (tmp_path / "mine" / "thesis.tex").exists()


def test_refused_records_are_left_out_and_named(runs: Path, coop: Path, tmp_path: Path) -> None:
    record = json.loads(coop.read_text())
    coop.write_text(json.dumps(record | {"limit": 3}))
    found = call("leaderboard", "build", runs, "--out", tmp_path / "site")
    assert found.exit_code == 0 and "left out" in found.stderr and "first 3 images" in found.stderr
    assert "/coop/fills-" not in (tmp_path / "site" / "methods" / "coop.html").read_text()
    (line,) = [line for line in found.stderr.splitlines() if "left out" in line]
    assert line.startswith("left out: 1 record (") and line.endswith(
        "; all in " + str(tmp_path / "site-left-out.txt")
    )
    assert str(coop) in (tmp_path / "site-left-out.txt").read_text()
    coop.write_text(json.dumps(record))
    assert call("leaderboard", "build", runs, "--out", tmp_path / "site").exit_code == 0
    assert not (tmp_path / "site-left-out.txt").exists()  # a list of an earlier site


def test_hostile_names_are_text(runs: Path, tmp_path: Path) -> None:
    hostile(runs)
    site = tmp_path / "site"
    assert call("leaderboard", "build", runs, "--out", site).exit_code == 0
    shown = [page for page in site.glob("**/*.html") if "alert(1)" in page.read_text()]
    errors = {page.name for page in (site / "errors").glob("*-theirs-*.html")}
    named = {"index.html", "few_shot.html", "theirs.html"}
    assert {page.name for page in shown} == named | errors and len(errors) == 1
    for page in shown:
        text = page.read_text()
        assert SCRIPT not in text and "<script>alert" not in text
        for data in re.findall(r'<script type="application/json"[^>]*>(.*?)</script>', text, re.S):
            assert "<" not in data and json.loads(data)


def test_the_terminal_shows_the_same_ranking(finished: Path) -> None:
    found = call("leaderboard", "show", finished, "--protocol", "few_shot", "--suite", "demo")
    assert found.exit_code == 0 and "not comparable" in found.stdout
    assert "verified" in found.stdout and "CLIP (zero-shot)" in found.stdout
    real = call("leaderboard", "show", "--protocol", "base_to_new", "--suite", "clip").stdout
    assert real.index("81.45") < real.index("81.43") < real.index("71.66")
    assert "to best" in real and "to best" not in found.stdout  # no paper has the demo's numbers
    nothing = call("leaderboard", "show", "--protocol", "base_to_new", "--suite", "demo")
    assert nothing.exit_code == 2 and "no number under base_to_new" in nothing.stderr


def test_the_terminal_tells_originals_from_re_runs_and_folds_what_has_no_average(
    papers: list[Board],
) -> None:
    (paper,) = [b for b in papers if b.protocol == "base_to_new"]
    row = paper.rows[0]
    rows = (
        dataclasses.replace(row, title="First", origin="original"),
        dataclasses.replace(row, title="Second", origin="re-run", source="Another paper"),
        dataclasses.replace(row, title="Third", origin="unknown"),
        dataclasses.replace(row, title="Hollow", values={}),
        dataclasses.replace(row, title="Mine", state="verified", values={}, n=1),
    )
    made = dataclasses.replace(paper, rows=rows)

    def shown(whole: bool) -> list[str]:
        file = io.StringIO()
        terminal.show([made], "base_to_new", None, Console(file=file, width=80), whole)
        return file.getvalue().splitlines()

    def line(title: str, lines: list[str]) -> str:
        return next(line for line in lines if line.strip().startswith(title))

    brief, whole = shown(False), shown(True)
    for title, origin in (("First", "original"), ("Second", "re-run"), ("Third", "origin unknown")):
        assert f" {origin} " in line(title, brief)
    assert "verified" in line("Mine", brief)  # a row that was run is not folded
    assert not [text for text in brief if "Hollow" in text]
    assert "folded: 1 published row without an average (--all shows them)" in brief
    assert [text for text in whole if "Hollow" in text]
    assert not [text for text in whole if text.startswith("folded")]
    assert "re-run [2]" in line("Second", whole)
    assert [text for text in whole if text.startswith("[2] re-run: Another paper")]


@pytest.mark.parametrize("state", ["published", "verified"])
def test_a_narrow_terminal_has_room_for_methods(papers: list[Board], state: Any) -> None:
    (paper,) = [b for b in papers if b.protocol == "base_to_new"]
    values = {column.key: Estimate(55.55, 1.25, 3) for column in paper.columns}
    row = dataclasses.replace(paper.rows[0], title="A Method", state=state, n=3, values=values)
    row = dataclasses.replace(row, differences={})
    file = io.StringIO()
    made = dataclasses.replace(paper, rows=(row,))
    terminal.show([made], "base_to_new", None, Console(file=file, width=80))
    leader, *lines = file.getvalue().splitlines()[1:]
    assert "A Method 55.55" in leader
    (line,) = [line for line in lines if "A Method" in line]
    assert line.count("55.55") == 3 and len(line) <= 80
    assert sum(line.count("±1.25") for line in lines) == 3


def test_bundled_libraries_are_the_stated_versions_with_their_licences() -> None:
    folder = Path(str(resources.files("promptbench.leaderboard.web"))) / "assets" / "vendor"
    for package, entry in json.loads((folder / "vendor.json").read_text()).items():
        names = list(entry["files"].values())
        script = next(name for name in names if name.endswith(".js"))
        licence = next(name for name in names if name.endswith("LICENSE.txt"))
        assert entry["version"] in (folder / script).read_text()[:400], package
        assert "Permission" in (folder / licence).read_text()


def test_the_workflow_runs_make_targets_that_exist() -> None:
    root = Path(__file__).resolve().parents[2]
    workflow = (root / ".github" / "workflows" / "leaderboard.yml").read_text()
    steps = re.findall(r"^ +run: (.+)$", workflow, re.M)
    targets = set(re.findall(r"^([a-z-]+):", (root / "Makefile").read_text(), re.M))
    assert steps == ["make leaderboard-verify", "make leaderboard"]
    assert {step.removeprefix("make ") for step in steps} <= targets
