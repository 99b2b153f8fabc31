"""The boards of papers: every published number is there, once, and what belongs together."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from promptbench.leaderboard.boards import same_cell
from promptbench.leaderboard.boards.board import Board
from promptbench.leaderboard.checking import known
from promptbench.leaderboard.web import method_list, method_pages, pages
from promptbench.report import published


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
