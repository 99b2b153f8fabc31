"""Rows compete with those whose settings were chosen by the same budget and rule."""

from __future__ import annotations

from typing import Any

from promptbench.records import Record, TuningInfo
from promptbench.records.tuning import digest
from promptbench.report import assemble, flat, tracks
from promptbench.report.table import Row, Table
from tests.made_records import record

SPACE: dict[str, Any] = {"Recipe.lr": {"uniform": [0.1, 1.0]}}


def tuned(method: str, correct: int, budget: int = 2, seeds: int = 1) -> Record:
    info = TuningInfo(
        budget=budget,
        rule="r",
        engine="e",
        space=SPACE,
        space_sha256=digest(SPACE),
        seeds=list(range(1, seeds + 1)),
        chosen=1,
        trials=[{"values": {}, "validation": 50.0, "cells": []}] * budget,
    )
    base = record(1, correct, method)
    return base.model_copy(update={"tuning": info, "preset": info.preset, "suite": "demo"})


def plain(method: str, correct: int, preset: str = "paper") -> Record:
    changes = {"preset": preset, "suite": "demo", "training_id": f"{method} {preset}"}
    return record(1, correct, method).model_copy(update=changes)


def best(*records: Record) -> tuple[list[str], Table]:
    (table,) = assemble.of_records(records)
    return [row.title for row in table.rows if row.best], table


def test_each_way_of_choosing_settings_has_its_own_best() -> None:
    found, table = best(
        *(plain("coop", 50), plain("mmrlpp", 60)),
        *(plain("coop", 70, "unified"), plain("mmrlpp", 65, "unified")),
        *(tuned("coop", 80), tuned("mmrlpp", 75), tuned("mmrlpp", 85, budget=3)),
    )
    assert found == [
        *("CoOp (preset unified)", "CoOp (preset tuned-2)", "MMRL++ w/o decoupling"),
    ]  # and the highest of all, with a budget of its own, competes with nobody
    assert any("chosen by different budgets or rules" in note for note in table.notes)


def test_the_same_budget_and_rule_compete_whatever_the_method() -> None:
    assert tracks.settings_of(tuned("coop", 1)) == tracks.settings_of(tuned("mmrlpp", 2))
    for other in (tuned("coop", 1, budget=3), tuned("coop", 1, seeds=2)):
        assert tracks.settings_of(tuned("coop", 1)) != tracks.settings_of(other)


def test_what_has_no_settings_competes_with_all_and_makes_no_track_of_its_own() -> None:
    zeroshot = plain("zeroshot", 85)
    found, table = best(zeroshot, plain("coop", 50), tuned("mmrlpp", 60))
    assert found == ["CLIP (zero-shot)"]
    alone, table = best(zeroshot, plain("coop", 50))
    assert alone == ["CLIP (zero-shot)"]
    assert not any("chosen by different" in note for note in table.notes)


VALIDATED = "best validation epoch"


def selected(made: Record, rule: str = VALIDATED) -> Record:
    protocol = made.protocol.model_copy(update={"selection": rule})
    return made.model_copy(update={"protocol": protocol})


def marks(table: Table) -> dict[str, str]:
    """The mark of each row in the table's last column."""
    last = len(table.headings) - 1
    return {
        row.title: "best" if last in row.best else "second" if last in row.second else ""
        for row in table.rows
        if row.kind == "ours"
    }


def test_selection_rules_have_marks_of_their_own() -> None:
    _, table = best(
        *(plain("coop", 50), plain("mmrlpp", 60)),
        *(selected(plain("coop", 70)), selected(plain("mmrlpp", 65))),
    )
    assert marks(table) == {
        "CoOp": "second",
        f"CoOp ({VALIDATED})": "best",
        "MMRL++ w/o decoupling": "best",
        f"MMRL++ w/o decoupling ({VALIDATED})": "second",
    }
    assert any("of different selection rules do not compete" in note for note in table.notes)
    groups = [note for note in table.notes if note.startswith("marks are among")]
    assert groups == [
        "marks are among the rows of a group: inductive, paper settings; inductive, paper "
        f"settings, {VALIDATED}"
    ]


def test_a_budget_with_another_rule_of_selection_is_another_group() -> None:
    own = tuned("coop", 80), selected(tuned("mmrlpp", 75))
    found, table = best(*own)
    assert found == []
    (note,) = [note for note in table.notes if note.startswith("no mark")]
    assert "CoOp" in note and f"1 seed, {VALIDATED}" in note


def test_a_row_that_competes_with_nobody_has_no_mark_and_the_table_says_so() -> None:
    found, table = best(plain("coop", 50), plain("mmrlpp", 60), tuned("mmrlpp", 85))
    assert found == ["MMRL++ w/o decoupling"]
    (note,) = [note for note in table.notes if note.startswith("no mark")]
    assert note == (
        "no mark, as no other row may be compared with it: MMRL++ w/o decoupling (preset tuned-2) "
        "(inductive, equal budget: 2 trials on 1 seed)"
    )
    _, table = best(tuned("mmrlpp", 85))  # one row: nobody asks
    assert not any(note.startswith("no mark") for note in table.notes)


def test_what_learns_nothing_has_its_own_marks_in_the_first_group_only() -> None:
    """It may be what others of a group lie below, but is bold only where its own rank is."""
    zeroshot = plain("zeroshot", 65)
    made = (plain("coop", 70), plain("mmrlpp", 75), tuned("coop", 60), tuned("mmrlpp", 55))
    _, table = best(zeroshot, *made)
    assert marks(table) == {
        "CLIP (zero-shot)": "",
        "CoOp": "second",
        "CoOp (preset tuned-2)": "second",
        "MMRL++ w/o decoupling": "best",
        "MMRL++ w/o decoupling (preset tuned-2)": "",
    }
    assert any("has its own marks in the first" in note for note in table.notes)


def test_data_of_a_table_say_what_rows_compete_by() -> None:
    _, table = best(plain("zeroshot", 1), selected(tuned("coop", 80)))
    cells = {cell["method"]: (cell["settings"], cell["selection"]) for cell in flat.rows([table])}
    assert cells["CLIP (zero-shot)"][0] == ""
    assert cells[f"CoOp ({VALIDATED}; preset tuned-2)"] == (
        "equal budget: 2 trials on 1 seed, e, r",
        VALIDATED,
    )


def test_presets_that_are_one_in_fact_are_one_row_that_competes_under_both() -> None:
    """The title says so where settings are learned with; zero-shot has none to say."""
    same = plain("mmrlpp", 60)
    unified = same.model_copy(update={"preset": "unified"})
    zeroshot = [plain("zeroshot", 40, preset) for preset in ("paper", "unified")]
    _, table = best(same, unified, *zeroshot, plain("coop", 50), plain("coop", 55, "unified"))
    assert marks(table) == {
        "CLIP (zero-shot)": "",
        "CoOp": "second",
        "CoOp (preset unified)": "second",
        "MMRL++ w/o decoupling (preset paper = unified)": "best",
    }
    (table,) = assemble.of_records([zeroshot[1], plain("coop", 55, "unified")])
    assert [row.title for row in table.rows if row.kind == "ours"] == [
        *("CLIP (zero-shot)", "CoOp (preset unified)")
    ]


def test_groups_of_the_same_rows_are_one_group() -> None:
    """No pair is tested twice where all presets are one in fact."""
    both = ("paper", "unified")
    rows = [Row(title, "p", "ours", (), settings=both) for title in "ab"]
    assert list(tracks.fields(rows)) == [tracks.Conditions("inductive", "paper")]
    other = Row("c", "p", "ours", (), settings=("unified",))
    assert list(tracks.fields([*rows, other]).values()) == [[0, 1], [0, 1, 2]]
