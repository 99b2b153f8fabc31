"""Weights & Biases: groups of runs and what is said of a record, as plain data."""

from __future__ import annotations

import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from promptbench import records
from promptbench.core.recipe import Recipe
from promptbench.core.registry import BUILT_IN
from promptbench.errors import UserError
from promptbench.mixing.facts import APART, DECISIONS, Role
from promptbench.planning import edge, plan
from promptbench.planning.grids import Grid
from promptbench.tracking import facts, wandb_facts, wandb_log
from tests import made_records
from tests.mixing.changing import changed, made
from tests.tracking.wandb_runs import SMALL, record_of

# What a cell does not know before it is computed, or what follows from the facts that it knows.
FOLLOWS = {
    "method.learned_parameters": "from code and settings",
    "backbone.image_size": "from the weights",
    "data.*.card_version": "the card's hash covers it",
    "training.epochs": "from the recipe",
    "training.steps": "from recipe and data",
    "validation.images": "from data, class set and shots",
    "validation.per_class": "from the shots",
    "targets.*.split": "from the protocol",
    "targets.*.shift": "from the protocol",
    "targets.*.total": "from data and limit",
}


@pytest.mark.parametrize(
    "path", [path for path, decision in DECISIONS.items() if decision.role in APART]
)
def test_what_keeps_records_out_of_a_row_makes_another_group(path: str) -> None:
    first = made(1)
    other = changed(made(2), path)
    same = facts.of_record(first).group == facts.of_record(other).group
    assert same == (path in FOLLOWS)
    assert (path in FOLLOWS) != any(path in held for held in facts.HOLDS.values())


def test_other_versions_and_seeds_are_in_one_group() -> None:
    marks = [
        path for path, decision in DECISIONS.items() if decision.role in (Role.MARK, Role.SEED)
    ]
    groups = {facts.of_record(changed(made(2), path)).group for path in marks}
    assert groups == {facts.of_record(made(1)).group}


def test_other_code_of_a_plugin_makes_another_group_and_of_promptbench_none() -> None:
    def groups(provider: str) -> set[str]:
        ours = made(1, provider)
        theirs = changed(made(2, provider), "method.source_sha256")
        return {facts.of_record(record).group for record in (ours, theirs)}

    assert len(groups("their_package 1.0, file 0123456789ab")) == 2
    assert len(groups(BUILT_IN)) == 1


def test_groups_are_configurations_without_the_seed() -> None:
    def groups(**changes: Any) -> list[str]:
        grid, options = Grid(("coop",), ("few_shot",)), {**SMALL, "seeds": [1, 2], **changes}
        (request,), _ = edge.asked(grid, options)
        cells = plan.build(request, "fp32").cells
        return [facts.of_cell(c).group for c in cells if c.method.name == "coop"]

    first, second = groups()
    assert first == second and first.startswith("few_shot/coop/counts-1shot-paper-")
    assert groups(set=["Recipe.epochs=3"])[0] != first


def test_accuracy_per_class_names_the_classes(logged: Path) -> None:
    _, record = record_of(logged)
    rows = wandb_facts.per_class(record)
    (target,) = record.targets
    assert [row[3] for row in rows] == target.correct and len(rows) == 4
    assert rows[0][:3] == ["counts/all", 0, "one object"]
    assert sum(row[3] for row in rows) / sum(row[4] for row in rows) * 100 == target.accuracy


STRANGE: list[tuple[dict[str, Any], str]] = [
    ({"foo": 1}, "unknown are foo"),
    ({"lr": "x"}, "lr: Input should be a valid number"),
    ({"epochs": {"1": 2}}, "epochs: no number"),
    ({"lr": -1.0}, "Recipe.lr must be a number from 0 on"),
]


@pytest.mark.parametrize(("change", "reason"), STRANGE, ids=[reason for _, reason in STRANGE])
def test_a_recipe_of_a_stranger_is_a_sentence(change: dict[str, Any], reason: str) -> None:
    plain = made_records.record()
    recipe = asdict(Recipe()) | change
    training = plain.training.model_copy(update={"recipe": recipe, "losses": [{"total": 1.0}]})
    with pytest.raises(UserError, match=re.escape(reason)):
        wandb_log.log_epochs(None, plain.model_copy(update={"training": training}), {})


def test_learned_parameters_that_are_none_are_a_sentence(tmp_path: Path) -> None:
    (tmp_path / records.PARAMETERS).write_bytes(b"x" * 100)
    with pytest.raises(UserError, match="does not hold learned parameters"):
        wandb_facts.learned_norms(tmp_path)
