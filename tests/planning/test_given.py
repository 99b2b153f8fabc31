"""Options from Python: one where several may stand is one, what cannot be meant is refused."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given as drawn
from hypothesis import strategies as st

import promptbench
from promptbench.core.protocol import Leg
from promptbench.errors import UserError
from promptbench.planning import edge, given, machine, plan, request
from promptbench.planning.grids import Grid
from promptbench.planning.machine import Machine
from promptbench.planning.request import Request

READ = {**request.READ, **machine.READ}
PLUGIN = """
from promptbench.methods.zeroshot import ZeroShot

class Given(ZeroShot):
    title = "given"
"""


@pytest.mark.parametrize(
    ("value", "read"),
    [
        (1, [1]),
        ("1", [1]),
        ("1,2", [1, 2]),
        (" 1 , 2,", [1, 2]),
        ([1, "2,3", np.int64(4)], [1, 2, 3, 4]),
        ((3, 1), [3, 1]),
        (range(3), [0, 1, 2]),
        ((n for n in (2, 5)), [2, 5]),
        ({10, 9, 1}, [1, 9, 10]),
        (np.arange(2), [0, 1]),
        (np.int32(7), [7]),
        (np.array(7), [7]),
        (torch.tensor([1, 2]), [1, 2]),
        ({1: "a"}.keys(), [1]),
        ([], []),
        ("", []),
    ],
)
def test_numbers(value: Any, read: list[int]) -> None:
    found = given.numbers("seeds", value)
    assert found == read and all(type(number) is int for number in found)


@pytest.mark.parametrize(
    "value",
    [
        1.0,
        "1.5",
        "a",
        "1 2",
        [1, None],
        [True],
        True,
        {"a": 1},
        b"1",
        [[1, 2]],
        np.array([1.5]),
        ...,
    ],
)
def test_what_is_no_whole_number_is_refused_by_name(value: Any) -> None:
    with pytest.raises(UserError, match=r"^seeds must be a whole number, or several such as .*not"):
        given.numbers("seeds", value)


@drawn(st.lists(st.integers(0, 10**9), min_size=1))
def test_numbers_read_alike_however_they_are_given(numbers: list[int]) -> None:
    forms = (numbers, tuple(numbers), iter(numbers), ",".join(map(str, numbers)), map(str, numbers))
    assert all(given.numbers("seeds", form) == numbers for form in forms)


JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.floats(),
    st.binary(),
    st.text(max_size=5),
    st.integers(),
    st.dictionaries(st.text(max_size=2), st.integers(), max_size=2),
    st.lists(st.one_of(st.none(), st.floats(), st.text(max_size=3), st.booleans()), max_size=3),
    st.just(object()),
    st.just(int),
)


@drawn(st.sampled_from(sorted(READ)), JUNK)
def test_whatever_an_option_is_given_it_is_read_or_refused_in_one_sentence(
    option: str, value: Any
) -> None:
    try:
        READ[option](option, value)
    except UserError as error:
        assert str(error).startswith(f"{option} must be ") and "\n" not in str(error)


@pytest.mark.parametrize(
    ("read", "value", "found"),
    [
        (given.names, "a", ["a"]),
        (given.names, "a, b,", ["a", "b"]),
        (given.names, ("a", "b,c"), ["a", "b", "c"]),
        (given.names, {"b", "a"}, ["a", "b"]),
        (given.bindings, " A.b=(1,2)", ["A.b=(1,2)"]),
        (given.bindings, ["A.b=1", "C.d=2"], ["A.b=1", "C.d=2"]),
        (given.paths, "f.py", [Path("f.py")]),
        (given.paths, Path("f.py"), [Path("f.py")]),
        (given.paths, [Path("f.py"), "g.py"], [Path("f.py"), Path("g.py")]),
        (given.path, "runs", Path("runs")),
        (given.text, Path("/w/x.pt"), "/w/x.pt"),
        (given.whole, np.int16(3), 3),
        (given.whole, "3", 3),
        (given.real, 2, 2.0),
        (given.real, "0.5", 0.5),
        (given.flag, np.bool_(True), True),
    ],
)
def test_other_options(read: Callable[[str, Any], Any], value: Any, found: Any) -> None:
    assert read("option", value) == found


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"datasets": [None]}, "datasets must be a name"),
        ({"datasets": 3}, "datasets must be a name"),
        ({"datasets": "x"}, "unknown dataset 'x'"),
        ({"set": {"Recipe.epochs": 2}}, 'set must be a binding such as "Recipe.epochs=5"'),
        ({"set": "epochs"}, "--set 'epochs' is not of the form"),
        ({"gin": "nowhere.gin"}, "nowhere.gin does not exist"),
        ({"gin": [None]}, "gin must be a path"),
        ({"plugin": 3}, "plugin must be a path"),
        ({"seeds": 1.5}, "seeds must be a whole number"),
        ({"seeds": -1}, "--seeds must be numbers from 0 on, such as 1,2,4, not -1"),
        ({"seeds": []}, "--seeds must be numbers from 0 on"),
        ({"shots": "4,0"}, "--shots must be numbers from 1 on, such as 1,2,4, not 4,0"),
        ({"shots": True}, "shots must be a whole number"),
        ({"limit": True}, "limit must be a whole number, not True"),
        ({"limit": 2.5}, "limit must be a whole number, not 2.5"),
        ({"jobs": None, "workers": [2]}, r"workers must be a whole number, not \[2\]"),
        ({"quiet": "yes"}, "quiet must be True or False, not 'yes'"),
        ({"out": 3}, "out must be a path, not 3"),
        ({"out": b"runs"}, "out must be a path"),
        ({"preset": ["paper", "unified"]}, "preset must be a name"),
        ({"preset": "papr"}, "unknown preset 'papr'"),
        ({"device": 0}, "device must be a name, not 0"),
        ({"checkpoint_minutes": "often"}, "checkpoint_minutes must be a number"),
        ({"title": "mine"}, "unknown option 'title'"),
    ],
)
def test_python_users_hear_it_in_one_sentence(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        promptbench.run("zeroshot", "base_to_new", **options)


@pytest.mark.parametrize("value", [None, 3, [None], {"coop": 1}, object])
def test_methods_and_protocols_are_names(value: Any) -> None:
    with pytest.raises(UserError, match=r"^method must be a name"):
        promptbench.run(value, "base_to_new")
    with pytest.raises(UserError, match=r"^protocol must be a name"):
        promptbench.run("coop", value)


def test_one_of_everything_makes_the_request_of_lists(tmp_path: Path) -> None:
    plugin, settings = tmp_path / "given.py", tmp_path / "own.gin"
    plugin.write_text(PLUGIN)
    settings.write_text("Recipe.lr = 0.1\n")
    one = {"datasets": "counts", "seeds": np.int64(2), "shots": "4", "set": "Recipe.epochs=2"}
    ones = {**one, "plugin": str(plugin), "gin": str(settings), "out": str(tmp_path)}
    several = {"datasets": ["counts"], "seeds": [2], "shots": [4], "set": ["Recipe.epochs=2"]}
    lists = {**several, "plugin": [plugin], "gin": [settings], "out": tmp_path}
    grid = Grid(("given", "coop"), ("base_to_new",))
    assert edge.asked(grid, ones) == edge.asked(grid, lists)
    assert edge.asked(grid, {"jobs": None})[1].jobs == 1


def test_what_can_be_read_only_once_holds_for_every_protocol(tmp_path: Path) -> None:
    (file := tmp_path / "a.gin").write_text("Recipe.epochs = 2\n", encoding="utf-8")
    options = {"gin": iter([file]), "seeds": (n for n in (1, 2)), "datasets": map(str, ["counts"])}
    for asked in Grid(("coop",), ("base_to_new", "few_shot")).requests(options):
        assert (asked.gin, asked.seeds, asked.datasets) == ((file,), (1, 2), ("counts",))


def legs(protocol: str, shots: Any, **options: Any) -> list[Leg]:
    asked = Request("coop", protocol, datasets="counts", seeds=1, shots=shots, **options)
    cells = plan.build(asked, "fp32").cells
    return [cell.leg for cell in cells if cell.method.name == "coop"]


@pytest.mark.parametrize("protocol", ["few_shot", "base_to_new", "cross_dataset"])
def test_several_numbers_of_shots_are_a_training_each(protocol: str) -> None:
    options = {} if protocol != "cross_dataset" else {"baseline": False}
    found = legs(protocol, "1,2,4,2", **options)
    assert [leg.source.shots for leg in found] == [1, 2, 4]
    for leg in found:
        assert legs(protocol, leg.source.shots, **options) == [leg]


def test_a_grid_takes_several_numbers_of_shots(tmp_path: Path) -> None:
    from promptbench.planning import grids

    path = tmp_path / "mine.gin"
    for line, counts in (("(1, 2)", (1, 2)), ("[4]", (4,)), ("8", (8,))):
        path.write_text(
            f"Grid.methods = ('coop',)\nGrid.protocols = ('few_shot',)\nGrid.shots = {line}\n"
        )
        assert grids.load(path).requests({})[0].shots == counts


def test_every_option_is_read_by_what_it_means() -> None:
    assert set(request.READ) == {f.name for f in dataclasses.fields(Request) if f.init}
    assert set(machine.READ) == {f.name for f in dataclasses.fields(Machine)}
