"""The steps of a training: epochs or steps per shot, stages, rates, and groups of parameters."""

from __future__ import annotations

import ast
import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from promptbench.contract import TRAIN, tiny_towers
from promptbench.core.course import Course
from promptbench.core.method import Method
from promptbench.core.ranges import out_of_range
from promptbench.core.recipe import Recipe, epochs_for, stated, unfit, whole
from promptbench.core.shots import ByShots, entry_for, settled
from promptbench.errors import UserError
from promptbench.methods.clipadapter import CLIPAdapter
from promptbench.methods.coop import CoOp
from promptbench.running.lab.compute import Compute
from promptbench.running.training.step import Stepper

CPU = Compute(torch.device("cpu"), "fp32")


def test_steps_per_shot_end_within_an_epoch() -> None:
    course = Course.of(Recipe(epochs={"steps_per_shot": 5}, batch_size=4), images=33, shots=4)
    assert (course.per_epoch, course.steps, course.n_epochs) == (8, 20, 3)
    assert [course.steps_in(epoch) for epoch in range(3)] == [8, 8, 4]
    assert epochs_for({"steps_per_shot": 5}, 16) == {"steps_per_shot": 5}


def test_epochs_are_whole_batches() -> None:
    course = Course.of(Recipe(epochs=3, batch_size=32), images=100, shots=1)
    assert (course.per_epoch, course.steps, course.n_epochs) == (3, 9, 3)
    few = Course.of(Recipe(epochs=3, batch_size=32), images=5, shots=1)
    assert (few.per_epoch, few.steps) == (1, 3)


def test_two_stages_have_a_cosine_each() -> None:
    """2SFS at 16 shots: 2,880 steps and 1,920, both from 2e-4 to 1e-6."""
    shares = ({"share": 0.6}, {"share": 0.4})
    recipe = Recipe(
        lr=2e-4, final_lr=1e-6, warmup_epochs=0, schedule="step", batch_size=32, stages=shares,
        epochs={"steps_per_shot": 300},
    )  # fmt: skip
    course = Course.of(recipe, images=1600, shots=16)
    assert [(s.number, s.first, s.end) for s in course.stages] == [(1, 0, 2880), (2, 2880, 4800)]

    def rate(step: int) -> float:
        stage = course.stage_at(step)
        return stage.recipe.lr_at(stage.epoch_at(step), stage.epochs)

    for first, length in ((0, 2880), (2880, 1920)):
        for passed in (0, 1, length // 3, length - 1):
            cosine = (1 + math.cos(math.pi * passed / length)) / 2
            assert rate(first + passed) == pytest.approx(1e-6 + (2e-4 - 1e-6) * cosine, rel=1e-9)


def test_a_stage_has_settings_of_its_own() -> None:
    stages = ({"share": 0.5, "warmup_epochs": 1}, {"share": 0.5, "optimizer": "adamw", "lr": 0.5})
    recipe = Recipe(epochs=4, batch_size=2, lr=1.0, warmup_epochs=0, stages=stages)
    course = Course.of(recipe, images=6, shots=1)
    assert [course.lr_at(epoch) for epoch in range(4)] == [1e-5, 1.0, 0.5, pytest.approx(0.25)]
    second = course.stages[1].recipe
    assert (second.optimizer, second.lr, second.momentum) == ("adamw", 0.5, 0.9)


@given(
    steps=st.integers(2, 200),
    per=st.integers(1, 30),
    share=st.floats(0.01, 0.99),
    cut=st.booleans(),
)
def test_stages_part_the_steps(steps: int, per: int, share: float, cut: bool) -> None:
    stages = ({"share": share}, {"share": 1 - share})
    recipe = Recipe(epochs={"steps_per_shot": steps}, batch_size=1, stages=stages if cut else ())
    course = Course.of(recipe, images=per, shots=1)
    assert course.stages[0].first == 0 and course.stages[-1].end == course.steps == steps
    assert all(stage.first < stage.end for stage in course.stages)
    assert sum(course.steps_in(epoch) for epoch in range(course.n_epochs)) == steps
    for stage in course.stages:
        assert course.stage_at(stage.first) == course.stage_at(stage.end - 1) == stage


def test_fewer_steps_than_stages_are_refused() -> None:
    recipe = Recipe(epochs=1, batch_size=8, stages=({"share": 0.5}, {"share": 0.5}))
    with pytest.raises(UserError, match="1 steps is too short for 2 stages; raise"):
        Course.of(recipe, images=8, shots=1)


def test_younger_settings_stand_nowhere_at_their_usual_values() -> None:
    usual = vars(Recipe())
    assert not {"groups", "stages", "views", "randaugment", "final_lr"} & stated(usual).keys()
    assert stated({**usual, "views": ["crop"], "groups": [], "randaugment": [2, 10]}) == stated(
        usual
    )
    assert stated({**usual, "views": ("plain",)})["views"] == ("plain",)
    assert whole(stated(usual)) == usual


def parts(method: nn.Module, *groups: dict[str, Any]) -> list[tuple[float, float, int]]:
    recipe = Recipe(lr=1.0, weight_decay=0.1, groups=groups)
    optimizer = recipe.build_optimizer(method)  # type: ignore[arg-type]
    found = optimizer.param_groups
    return [(g["lr"], g["weight_decay"], len(g["params"])) for g in found]


class Grouped(CLIPAdapter):
    def groups(self) -> dict[str, list[nn.Parameter]]:
        return {"first": [next(self.parameters())]}


def test_groups_have_settings_of_their_own() -> None:
    method = Grouped(tiny_towers(), TRAIN)
    names = [name for name, _ in method.named_parameters()]
    assert len(names) == 2
    assert parts(method) == [(1.0, 0.1, 2)]
    assert parts(method, {"parameters": "first", "lr": 2.0}) == [(2.0, 0.1, 1), (1.0, 0.1, 1)]
    assert parts(method, {"parameters": "*", "weight_decay": 0.0}) == [(1.0, 0.0, 2)]
    later = [{"parameters": "*", "lr": 3.0}, {"parameters": names[1], "lr": 4.0}]
    assert parts(method, *later) == [(3.0, 0.1, 1), (4.0, 0.1, 1)]
    with pytest.raises(UserError, match=r"no group 'secnd'.*; known: .*first"):
        parts(method, {"parameters": "secnd", "lr": 1.0})


def test_a_group_of_what_is_not_the_methods_is_refused() -> None:
    class Wrong(CoOp):
        def groups(self) -> dict[str, list[nn.Parameter]]:
            return {"other": [nn.Parameter(torch.ones(1))]}

    with pytest.raises(UserError, match="group 'other' of CoOp holds something that is not one of"):
        parts(Wrong(tiny_towers(), TRAIN), {"parameters": "*", "lr": 1.0})


def test_groups_follow_the_schedule_from_their_own_rates() -> None:
    groups = ({"parameters": "first", "lr": 4.0, "momentum": 0.0},)
    recipe = Recipe(lr=1.0, epochs=4, warmup_epochs=0, batch_size=2, groups=groups)
    course = Course.of(recipe, images=2, shots=1)
    stepper = Stepper(Grouped(tiny_towers(), TRAIN), recipe, CPU)
    stepper.follow(course.stages[0], 2)
    assert [g["lr"] for g in stepper.optimizer.param_groups] == [
        pytest.approx(2),
        pytest.approx(0.5),
    ]
    assert [g["momentum"] for g in stepper.optimizer.param_groups] == [0.0, 0.9]


def test_a_new_stage_has_an_optimiser_that_knows_nothing() -> None:
    method = CoOp(tiny_towers(), TRAIN)
    stepper = Stepper(method, Recipe(optimizer="adamw"), CPU)
    stepper.step(method.ctx.square().sum())
    assert stepper.optimizer.state
    stepper.begin(Recipe(optimizer="sgd", lr=0.5))
    assert isinstance(stepper.optimizer, torch.optim.SGD) and not stepper.optimizer.state


def test_tables_by_shots() -> None:
    assert [entry_for({1: "a", 8: "b"}, shots) for shots in (1, 4, 8, 16)] == ["a", "a", "b", "b"]
    annotations = {"a": ByShots[float], "b": float | dict[str, float], "c": dict[int, float]}
    given_ = {"a": {1: 1.0, 8: 0.8}, "b": {"x": 1.0}, "c": {1: 2.0}}
    assert settled(given_, annotations, 16) == {**given_, "a": 0.8}
    assert settled({"a": 0.5}, annotations, 16) == {"a": 0.5}


@pytest.mark.parametrize("count", [2, 3, 6])
def test_a_recipe_with_too_few_stages_or_views_is_told_bindings_that_fit(count: int) -> None:
    usual = vars(Recipe())
    for name in ("stages", "views"):
        method = type("Mine", (Method,), {"title": "Mine", name: count})
        found = unfit(method, usual)
        assert found is not None and found[0] == name
        value = ast.literal_eval(found[1].partition(f"Recipe.{name} = ")[2])
        told = vars(Recipe(**{name: value}))
        assert unfit(method, told) is None and out_of_range(told) is None
