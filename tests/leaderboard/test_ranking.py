"""Ranks, differences and leaders: among rows that may be compared, and no others."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from promptbench.leaderboard.boards import leaders, ranking
from promptbench.leaderboard.boards.board import Board, BoardRow
from promptbench.leaderboard.web import pages
from promptbench.records.scores import load
from promptbench.statistics import Estimate, estimate

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
