"""The contract tries whether steps are alike where a method says so, and finds those that lie."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import partial
from typing import Any

import pytest
import torch.nn.functional as F
from torch import nn

from promptbench.contract import Bench, World
from promptbench.contract.bench import Build, build_of
from promptbench.contract.examination import one_thread
from promptbench.contract.steady import steps_are_alike_where_it_says_so
from promptbench.contract.verdicts import Broken
from promptbench.core.method import ClassSet
from promptbench.core.registry import METHODS
from promptbench.core.traits import has_solver
from promptbench.models.towers import Towers
from promptbench.planning.settings import default_settings
from tests.contract.adversaries import Honest
from tests.contract.steady import COUNTED, Drawing, Remembering, Steady
from tests.contract.steps_on_the_host import ON_THE_HOST, Torch
from tests.contract.steps_unlike import UNLIKE, Hidden, Writing
from tests.short_form import first

# Of the methods here that take gradient steps, those whose steps are not alike.
UNSTEADY = {"coprompt", "hicropl"}
# Settings beside those of gin files under which a step does something else.
VARIANTS: list[tuple[str, dict[str, Any]]] = [
    ("coop", {"n_ctx": 4, "ctx_init": "", "csc": True}),
    ("coop", {"n_ctx": 4, "ctx_init": "", "class_token_position": "middle"}),
    ("prograd", {"ctx_init": False, "class_token_position": "front", "strength": 0.5}),
    ("cliplora", {"dropout": 0.5, "maps": ("q", "out", "fc", "proj"), "sides": ("image",)}),
    ("cocoop", {"ctx_init": ""}),
    ("mma", {"first": 0, "last": 3}),
    ("twosfs", {"sides": ("text",), "first_text": 4}),
    ("tipadapterf", {"passes": 0}),
    ("taskres", {"templates": ("a {}.", "the {}."), "raw_names": True}),
    ("tcp", {"prompt": "this is a photo of a {}.", "guide": "a drawing of a {}."}),
    ("maple", {"ctx_init": ""}),
    ("vpt", {"depth": 1}),
    ("mmrl", {"layers": (3, 9)}),
    ("atprompt_coop", {"one_token": True}),
]


@pytest.fixture(autouse=True)
def narrow() -> Any:
    logging.getLogger(COUNTED).setLevel(0)
    with one_thread():
        yield


def tried(build: Build) -> str:
    return steps_are_alike_where_it_says_so(Bench.of(build, World.standard()))


def test_which_methods_are_steady() -> None:
    found = {name: METHODS.load(name).cls for name in METHODS.names()}
    steady = {name for name, cls in found.items() if cls.steady}
    with_steps = {
        name for name, cls in found.items() if not has_solver(cls) and cls.paradigm != "zero-shot"
    }
    assert steady == with_steps - UNSTEADY
    assert len(steady) == 22


@pytest.mark.parametrize("name", first(5, METHODS.names()))
def test_methods_are_steady_by_their_gin_files(name: str) -> None:
    plugin = METHODS.load(name)
    found = tried(build_of(plugin, default_settings(plugin)))
    assert ("operations compared in each of 4 steps" in found) == plugin.cls.steady


@pytest.mark.parametrize(("name", "settings"), first(4, VARIANTS))
def test_methods_are_steady_by_other_settings(name: str, settings: Mapping[str, Any]) -> None:
    assert "operations compared in each of 4 steps" in tried(
        partial(METHODS.load(name).cls, **settings)
    )


LIARS = ON_THE_HOST | UNLIKE


@pytest.mark.parametrize("cls", LIARS)
def test_a_method_that_lies_is_refused_with_what_was_seen(cls: type[Steady]) -> None:
    with pytest.raises(Broken, match=LIARS[cls]) as said:
        tried(cls)
    assert str(said.value).endswith("; steady = False is always right")


@pytest.mark.parametrize("cls", [Torch, Hidden, Writing])
def test_what_would_be_refused_may_stay_undeclared(cls: type[Steady]) -> None:
    honest = type(cls.__name__, (cls,), {"steady": False, "__module__": cls.__module__})
    found = tried(honest)
    assert found.startswith("not declared; a GPU runs its steps one operation at a time: ")
    assert "could be declared" not in found


@pytest.mark.parametrize("cls", [Steady, Drawing, Remembering])
def test_a_method_that_keeps_its_word_is_believed(cls: type[Steady]) -> None:
    assert tried(cls).endswith("operations compared in each of 4 steps")


def test_one_that_says_nothing_is_told_that_it_could() -> None:
    assert tried(Honest) == (
        "not declared; a GPU runs its steps one operation at a time; with these settings it could "
        "be declared: steady = True"
    )


def test_without_gradient_steps_there_is_nothing_to_try() -> None:
    for name in ("zeroshot", "tipadapter"):
        assert tried(METHODS.load(name).cls) == "it takes no gradient steps"


class Tuned(Drawing):
    """Drawing with a network whose layers draw and normalise by themselves."""

    def __init__(self, towers: Towers, classes: ClassSet) -> None:
        super().__init__(towers, classes)
        width = towers.embed_dim
        self.net = nn.Sequential(
            nn.Linear(width, width), nn.LayerNorm(width), nn.GELU(), nn.Dropout(0.3)
        )

    def prepare(self, classes: ClassSet) -> Any:
        found = super().prepare(classes)
        return F.normalize(found + self.net(found), dim=-1)


class Normed(Tuned):
    """The same with a norm that keeps averages of what it sees."""

    def __init__(self, towers: Towers, classes: ClassSet) -> None:
        super().__init__(towers, classes)
        self.net.append(nn.BatchNorm1d(towers.embed_dim))


def test_layers_of_torch_are_judged_by_what_they_do() -> None:
    assert "operations compared" in tried(Tuned)
    with pytest.raises(Broken, match=r"a step writes to the buffer 'net\.4\.num_batches_tracked'"):
        tried(Normed)
