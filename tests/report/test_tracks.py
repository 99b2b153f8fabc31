"""Rows compete with those whose settings were chosen by the same budget and rule."""

from __future__ import annotations

from typing import Any

from promptbench.records import Record, TuningInfo
from promptbench.records.tuning import digest
from promptbench.report import assemble, tracks
from promptbench.report.table import Table
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
    return record(1, correct, method).model_copy(update={"preset": preset, "suite": "demo"})


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
        *("CoOp (preset tuned-2)", "CoOp (preset unified)", "MMRL++ w/o decoupling"),
    ]  # and the highest of all, with a budget of its own, competes with nobody
    assert any("chosen by different budgets or rules" in note for note in table.notes)


def test_the_same_budget_and_rule_compete_whatever_the_method() -> None:
    assert tracks.settings_of(tuned("coop", 1)) == tracks.settings_of(tuned("mmrlpp", 2))
    for other in (tuned("coop", 1, budget=3), tuned("coop", 1, seeds=2)):
        assert tracks.settings_of(tuned("coop", 1)) != tracks.settings_of(other)
    assert not tracks.compete(*map(tracks.settings_of, (plain("coop", 1), tuned("coop", 1))))


def test_what_has_no_settings_competes_with_all_and_makes_no_track_of_its_own() -> None:
    zeroshot = plain("zeroshot", 85)
    found, table = best(zeroshot, plain("coop", 50), tuned("mmrlpp", 60))
    assert found == ["CLIP (zero-shot)"]
    alone, table = best(zeroshot, plain("coop", 50))
    assert alone == ["CLIP (zero-shot)"]
    assert not any("chosen by different" in note for note in table.notes)
