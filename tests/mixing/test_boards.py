"""The leaderboard and analyses sort records by the same rule as tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from promptbench import mixing
from promptbench.analysis.runs import _labelled
from promptbench.leaderboard.boards import board, building
from promptbench.leaderboard.checking import agreement, known
from promptbench.leaderboard.checking.verdicts import Verdict
from promptbench.leaderboard.web import pages
from promptbench.mixing import DECISIONS, Role
from promptbench.records import Record
from promptbench.records.scores import Scorer, load
from tests.mixing.changing import changed, made

APART = [path for path, d in DECISIONS.items() if d.role in (Role.ROW, Role.AGREE)]


def rows(*records: Record) -> list[board.BoardRow]:
    verdicts = [Verdict(Path(f"{i}.json"), r, "reported") for i, r in enumerate(records)]
    return [row for row in boarded(verdicts).rows if row.state != "published"]


def boarded(verdicts: list[Verdict]) -> board.Board:
    tables = mixing.tables([v.record for v in verdicts if v.record])
    return building._board("cross_dataset", known.suite("clip"), verdicts, tables, Scorer(load()))


@pytest.mark.parametrize("path", ["method.provider", "data.*.shards_sha256", "method.parameters"])
def test_a_board_splits_what_tables_split(path: str) -> None:
    found = rows(made(1), changed(made(2), path))
    assert [row.n for row in found] == [1, 1] and found[0].title != found[1].title
    assert [len(row.accepted) for row in found] == [1, 1]


@pytest.mark.parametrize(("images", "alike"), [("b", True), ("e", False)])
def test_rows_on_other_images_have_no_rank(images: str, alike: bool) -> None:
    others = [made(seed, "file abcdefabcdef") for seed in (1, 2, 3)]
    if images != "b":
        others = [changed(r, "data.*.shards_sha256", images * 64) for r in others]
    given = [made(seed) for seed in (1, 2, 3)] + others
    whole = boarded([Verdict(Path("r"), r, "reported") for r in given])
    assert whole.on_one_data == alike
    said = "rows on other images or class names cannot be compared: they have no rank"
    assert (said in pages.board_page(whole)["notes"]) != alike
    own = [row for row in whole.rows if row.n == 3]
    columns = [replace(c, main=c.title == "eurosat") for c in whole.columns]
    found = building._complete(own, columns, whole.on_one_data, whole.metric)
    assert [row.rank is not None for row in found] == [alike, alike]


def test_a_board_marks_what_tables_mark() -> None:
    verdicts = [made(1), changed(made(2), "environment.device", "H100")]
    (row,) = rows(*verdicts)
    assert row.n == 2 and row.mixed == ("device not stated (seed 1), H100 (seed 2)",)
    given = [Verdict(Path("r"), r, "reported") for r in verdicts]
    page = pages.board_page(boarded(given))
    assert f"§ {row.title}: {row.mixed[0]}" in page["notes"]
    assert [shown["title"] for shown in page["rows"] if shown["n"] == 2] == [f"{row.title} §"]


@pytest.mark.parametrize("path", [p for p in APART if p.startswith(("data.", "targets."))])
def test_records_of_one_row_may_not_contradict_each_other(path: str) -> None:
    entries = [(Path("a"), made(1)), (Path("b"), changed(made(2), path))]
    reasons = {what for _, _, what in agreement.disagreements(entries, [True, False])}
    name = DECISIONS[path].name
    if path == "data.*.resize_short":
        assert "the size of dtd" in reasons  # of the same hash
    else:
        assert any(what.startswith(f"the {name} of dtd") for what in reasons)


def test_what_rows_say_is_found_once_for_all_metrics(monkeypatch: pytest.MonkeyPatch) -> None:
    marks, asked = mixing.marks, list[int]()

    def counted(row: Sequence[Record]) -> list[str]:
        asked.append(len(row))
        return marks(row)

    monkeypatch.setattr(mixing, "marks", counted)
    verdicts = [Verdict(Path("r"), made(seed), "reported") for seed in (1, 2)]
    found = building.boards(verdicts, [load(), load("mean_class_accuracy")])
    with_rows = [made for made in found if any(row.n for row in made.rows)]
    assert [made.metric.name for made in with_rows] == ["accuracy", "mean_class_accuracy"]
    assert asked == [2]


def test_analyses_call_runs_of_different_rows_differently() -> None:
    other = changed(made(2), "method.provider", f"file {'f' * 12}")
    found = {record.seed: labels for record, labels in _labelled([made(1), other])}
    assert found == {1: ("provider file 012345",), 2: ("provider file ffffff",)}
    assert {r.seed: told for r, told in _labelled([made(1), made(2)])} == {1: (), 2: ()}
