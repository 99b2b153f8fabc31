"""The search that a record names: the shipped space, the trials that it draws, the best of them."""

from __future__ import annotations

from typing import Any

import pytest

from promptbench import spaces
from promptbench.core.registry import METHODS
from promptbench.leaderboard.checking import search_checks
from promptbench.records import Record, TuningInfo
from promptbench.records.tuning import ENGINE, RULE, digest
from tests.made_records import record

SPACE = spaces.load(METHODS.load("coop"))


def searched(**changes: Any) -> Record:
    values = spaces.drawn(SPACE, "coop", 2)
    own = [{"Recipe.lr": 0.002}, *values]
    trials = [{"values": v, "validation": 50.0 + n, "cells": ["c"]} for n, v in enumerate(own)]
    plain: dict[str, Any] = {"budget": 3, "rule": RULE, "engine": ENGINE, "seeds": [1], "chosen": 3}
    plain |= {"space": SPACE.as_data(), "trials": trials} | changes
    info = TuningInfo(space_sha256=digest(plain["space"]), **plain)
    return record(method="coop").model_copy(update={"tuning": info, "preset": "tuned-3"})


def test_a_search_that_holds_has_no_reason_against_it() -> None:
    assert list(search_checks.reasons(searched())) == []
    assert list(search_checks.reasons(record(method="coop"))) == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"chosen": 1}, "trial 1 is not the one with the highest"),
        ({"space": {"Recipe.lr": {"uniform": [0.1, 0.2]}}}, "the search space is not the one"),
    ],
)
def test_what_cannot_be_is_said(changes: dict[str, Any], said: str) -> None:
    (reason,) = search_checks.reasons(searched(**changes))
    assert said in reason


def test_trials_of_somebodys_own_are_found() -> None:
    own = searched()
    assert own.tuning is not None
    own.tuning.trials[1]["values"]["Recipe.lr"] = 0.5
    (reason,) = search_checks.reasons(own)
    assert "trial 2 does not have the values" in reason


def test_chosen_values_are_what_the_record_should_have() -> None:
    usual = {"CoOp": {"class_token_position": "end"}, "Recipe": {"lr": 0.002, "weight_decay": 0.0}}
    found = search_checks.chosen(searched(), usual)
    assert found["Recipe"]["lr"] == spaces.drawn(SPACE, "coop", 2)[1]["Recipe.lr"]
    assert usual["Recipe"]["lr"] == 0.002
