"""What is said before a plan is carried out: trainings that end within their warm-up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from promptbench.cli import main
from promptbench.core.recipe import warms_up_only
from promptbench.planning import plan
from promptbench.planning.notes import notes_of
from promptbench.planning.request import Request
from promptbench.report import assemble
from tests.made_records import record


def notes(protocol: str, methods: list[str], *bindings: str, **options: Any) -> list[str]:
    options = {"datasets": ["counts"], "seeds": [1], "set": bindings, **options}
    made = plan.build(Request(methods, protocol, **options), "fp32")
    return notes_of([made], made.cells, [])


def test_a_run_that_never_leaves_its_warm_up_hears_of_it_once_with_the_remedy() -> None:
    (note,) = notes("base_to_new", ["coop", "maple"], "Recipe.epochs=1", seeds=[1, 2])
    assert note.startswith("note: coop, maple: every epoch is one of warm-up")
    assert "--set Recipe.warmup_epochs=0" in note
    assert notes("base_to_new", ["coop"], "Recipe.epochs=3", "Recipe.warmup_epochs=3")


@pytest.mark.parametrize(
    "bindings",
    [
        (),
        ("Recipe.epochs=2",),
        ("Recipe.epochs=1", "Recipe.warmup_epochs=0"),  # the remedy
        ("Recipe.epochs=1", "Recipe.warmup_lr=0.002", "Recipe.lr=0.002"),
    ],
)
def test_nothing_is_said_of_other_recipes(bindings: tuple[str, ...]) -> None:
    assert notes("base_to_new", ["coop", "zeroshot"], *bindings) == []


def test_a_table_of_epochs_is_looked_at_by_shots() -> None:
    table = "Recipe.epochs={1: 1, 2: 1, 16: 50}"
    (note,) = notes("few_shot", ["coop"], table)
    assert note.startswith("note: coop with 1, 2, 4, 8 shots: every epoch")
    (note,) = notes("few_shot", ["coop"], "Recipe.epochs={1: 1, 2: 5}")
    assert note.startswith("note: coop with 1 shot: every epoch")
    assert notes("few_shot", ["coop"], table, shots=16) == []


def test_recipes_are_judged_by_epochs_and_rates() -> None:
    recipe = {"epochs": 1, "warmup_epochs": 1, "warmup_lr": 1e-5, "lr": 0.002}
    assert warms_up_only(recipe) and not warms_up_only(recipe | {"epochs": 2})
    assert not warms_up_only(recipe | {"lr": 1e-5})


def test_the_plan_says_it_too(tmp_path: Path) -> None:
    few = ("--datasets", "counts", "--seeds", "1", "--shots", "1", "--out", str(tmp_path))
    asked = ["plan", "--method", "coop", "--protocol", "base_to_new", *few]
    said = CliRunner().invoke(main, [*asked, "--set", "Recipe.epochs=1"])
    assert said.exit_code == 0 and said.output.count("Recipe.warmup_epochs=0") == 1


def test_tables_name_the_rows_that_were_trained_so() -> None:
    recipe = {"epochs": 1, "warmup_epochs": 1, "warmup_lr": 1e-5, "lr": 0.002}
    training = record().training.model_copy(update={"recipe": recipe})
    cold = record(method="coop").model_copy(update={"training": training})
    (found,) = assemble.of_records([cold, record()])
    assert "trained at the warm-up rate only, never at Recipe.lr: CoOp" in found.notes
    (other,) = assemble.of_records([record(method="coop")])
    assert not any("warm-up" in note for note in other.notes)
