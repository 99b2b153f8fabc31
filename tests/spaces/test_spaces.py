"""Search spaces: those that come with promptbench, what is refused, and what is drawn of them."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptbench import spaces
from promptbench.config import parsing, suites
from promptbench.core.registry import BUILT_IN, METHODS
from promptbench.errors import UserError
from promptbench.scaffold import write_package
from promptbench.spaces import Choice, LogUniform, Uniform, space, trials
from promptbench.support.seeding import generator

BUILT = [name for name in METHODS.names() if METHODS.load(name).provider == BUILT_IN]
COOP = METHODS.load("coop").cls


def own_values(method: str) -> Iterator[tuple[str, Any]]:
    """Every value that a method's own files bind, whatever the scope."""
    plugin = METHODS.load(method)
    overlay = suites.load("demo").overlay_file(method)
    for path in filter(None, (plugin.gin_file, overlay)):
        for binding in parsing.read(path):
            values = binding.value.values() if isinstance(binding.value, dict) else [binding.value]
            yield from ((f"{binding.cls}.{binding.parameter}", value) for value in values)


@pytest.mark.parametrize("method", BUILT)
def test_every_method_has_a_space_or_says_why_not(method: str) -> None:
    """Names and types are checked as they are loaded."""
    found = spaces.load(METHODS.load(method))
    assert bool(found.parameters) != bool(found.untuned)
    learns = METHODS.load(method).cls.paradigm != "zero-shot"
    assert bool(found.parameters) == learns


@pytest.mark.parametrize("method", BUILT)
def test_a_space_holds_every_value_of_the_methods_own_files(method: str) -> None:
    """Those of its paper, of the unified preset and of the demo."""
    found = spaces.load(METHODS.load(method)).parameters
    outside = [
        f"{name} = {value}"
        for name, value in own_values(method)
        if name in found and not found[name].holds(value)
    ]
    assert not outside
    bound = {name for name, _ in own_values(method)}
    assert set(found) <= bound | {"Recipe.lr"}, "a space is about what the method's file sets"


@pytest.mark.parametrize("method", BUILT)
def test_no_space_changes_how_much_is_computed(method: str) -> None:
    """The length of trainings is part of the budget, which is the same for all methods."""
    found = spaces.load(METHODS.load(method)).parameters
    costly = {"epochs", "batch_size", "passes", "views", "stages", "max_iter"}
    assert not {name.rpartition(".")[2] for name in found} & costly


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty: it has neither parameters under [space] nor a reason"),
        ("[space]\n", "is empty"),
        ('untuned = "  "', "is empty"),
        ('untuned = "no"\n[space]\n"Recipe.lr" = { uniform = [0.1, 1.0] }', "has both"),
        ('[spce]\n"Recipe.lr" = { uniform = [0.1, 1.0] }', "unknown key 'spce'"),
        ("space = 3", "space must be a table"),
        ('[space]\n"CoOp.n_ct" = { choice = [1, 2] }', "CoOp has no parameter 'n_ct'"),
        ('[space]\n"MaPLe.n_ctx" = { choice = [1, 2] }', "nothing in this run is called 'MaPLe'"),
        ("[space]\nlr = { choice = [1, 2] }", "'lr' is not of the form Name.parameter"),
        ('[space]\n"Recipe.lr" = 3', "needs one distribution"),
        ('[space]\n"Recipe.lr" = { normal = [0, 1] }', "needs one distribution"),
        ('[space]\n"Recipe.lr" = { uniform = [0, 1], choice = [1, 2] }', "needs one distribution"),
        ('[space]\n"Recipe.lr" = { uniform = [0.1] }', "at least two values"),
        ('[space]\n"Recipe.lr" = { uniform = [0.1, 0.2, 0.3] }', "needs two numbers"),
        ('[space]\n"Recipe.lr" = { uniform = ["a", "b"] }', "needs two numbers"),
        ('[space]\n"Recipe.lr" = { uniform = [0.0, inf] }', "needs two numbers"),
        ('[space]\n"Recipe.lr" = { uniform = [0.2, 0.1] }', "must be below the second"),
        ('[space]\n"Recipe.lr" = { log-uniform = [0.0, 0.1] }', "must be above 0"),
        ('[space]\n"CoOp.n_ctx" = { uniform = [1.5, 4] }', "does not fit int"),
        ('[space]\n"CoOp.csc" = { uniform = [0, 1] }', "does not fit bool"),
        ('[space]\n"Recipe.optimizer" = { choice = ["sgd", "sdg"] }', "does not fit"),
        ('[space]\n"Recipe.optimizer" = { choice = ["sgd", "sgd"] }', "more than once"),
        ('[space]\n"Recipe.groups" = { choice = [[1], [2]] }', "does not fit"),
    ],
)
def test_what_is_no_space_is_refused_with_its_place(text: str, said: str) -> None:
    with pytest.raises(UserError) as caught:
        space.of_data(tomllib.loads(text), COOP, "coop.space.toml")
    assert str(caught.value).startswith("coop.space.toml") and said in str(caught.value)


def test_a_solver_has_no_recipe_to_tune() -> None:
    with pytest.raises(UserError, match="nothing in this run is called 'Recipe'"):
        space.of_data(
            {"space": {"Recipe.lr": {"uniform": [0.1, 1.0]}}}, METHODS.load("lpp").cls, "x.toml"
        )


def test_a_strangers_space_lies_beside_its_module(tmp_path: Path) -> None:
    folder = write_package("method", "my_method", tmp_path)
    module = folder / "promptbench_my_method" / "my_method.py"
    plugin = METHODS.load(METHODS.add_file(module))
    assert set(spaces.load(plugin).parameters) == {"MyMethod.rank", "Recipe.lr"}
    data = tomllib.loads((folder / "pyproject.toml").read_text())
    assert "*.space.toml" in data["tool"]["setuptools"]["package-data"]["promptbench_my_method"]
    spaces.path_of(plugin).write_text("[space\n")
    with pytest.raises(UserError, match=r"my_method\.space\.toml cannot be parsed: .*line 1"):
        spaces.load(plugin)
    spaces.path_of(plugin).unlink()
    with pytest.raises(UserError, match="my_method has no search space: write my_method"):
        spaces.load(plugin)


PLACES = st.floats(0, 1, exclude_max=True)


@given(PLACES)
def test_values_lie_within_and_whole_numbers_stay_whole(place: float) -> None:
    assert 0.1 <= Uniform(0.1, 0.3).value(place) <= 0.3
    assert 1e-4 <= LogUniform(1e-4, 1e-1).value(place) <= 1e-1
    for whole in (Uniform(2, 5, True), LogUniform(2, 5, True)):
        value = whole.value(place)
        assert isinstance(value, int) and 2 <= value <= 5
    assert Choice(("a", "b")).value(place) == ("a" if place < 0.5 else "b")


@given(PLACES)
def test_a_place_leads_back_to_its_value(place: float) -> None:
    for own in (Uniform(0.1, 0.3), LogUniform(1e-4, 0.1), Uniform(2, 9, True), Choice((1, 2, 3))):
        value = own.value(place)
        assert own.value(min(own.place(value), 1 - 1e-12)) == pytest.approx(value, rel=1e-5)


def test_distributions_are_what_they_are_called() -> None:
    """Against closed forms, at places that divide the unit interval evenly."""
    places = [(n + 0.5) / 4000 for n in range(4000)]
    logs = [math.log10(LogUniform(1e-4, 1e-1).value(place)) for place in places]
    assert sum(logs) / 4000 == pytest.approx(-2.5, abs=1e-3)
    assert sum(Uniform(2, 5).value(p) for p in places) / 4000 == pytest.approx(3.5, abs=1e-3)
    counts = [sum(Uniform(2, 5, True).value(p) == n for p in places) for n in (2, 3, 4, 5)]
    assert counts == [1000] * 4


def test_integers_follow_from_the_parameters_type() -> None:
    text = '[space]\n"CoOp.n_ctx" = { uniform = [1, 8] }\n"Recipe.flip" = { uniform = [0, 1] }'
    found = space.of_data(tomllib.loads(text), COOP, "x").parameters
    assert found["CoOp.n_ctx"] == Uniform(1, 8, True) and found["Recipe.flip"] == Uniform(0, 1)


def test_points_are_sobols_shifted_by_the_methods_stream() -> None:
    """Each half of every axis holds half of them; shifted by one draw, modulo 1."""
    found = trials.points(3, "coop", 8)
    shift = generator(0, "tune", "coop").random(3)
    plain = [[(x - s) % 1 for x, s in zip(point, shift, strict=True)] for point in found]
    assert plain[0] == pytest.approx([0, 0, 0], abs=1e-12)
    assert plain[1] == pytest.approx([0.5, 0.5, 0.5])
    for axis in range(3):
        eighths = sorted(round(point[axis] * 8 + 1e-9) % 8 for point in plain)
        assert eighths == list(range(8))


def test_trials_are_the_same_for_everybody_and_a_larger_budget_goes_on() -> None:
    found = spaces.load(METHODS.load("coop"))
    assert spaces.drawn(found, "coop", 20)[:12] == spaces.drawn(found, "coop", 12)
    assert spaces.drawn(found, "coop", 12) != spaces.drawn(found, "kgcoop", 12)
    assert spaces.drawn(found, "coop", 0) == []
    assert spaces.drawn(found, "coop", 2) == FIRST


FIRST: list[dict[str, Any]] = [  # of coop, on any machine
    {
        "CoOp.class_token_position": "end",
        "Recipe.lr": 0.00458103,
        "Recipe.weight_decay": 0.00587007,
    },
    {
        "CoOp.class_token_position": "middle",
        "Recipe.lr": 0.000458103,
        "Recipe.weight_decay": 0.000185628,
    },
]
