"""Class sets: rules, what they may be, and what of them determines a cell."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from math import ceil
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptbench.api import Leg, Protocol, Rule, Source, Target, portion
from promptbench.core import registry
from promptbench.core.class_sets import STANDARD
from promptbench.core.registry import PROTOCOLS
from promptbench.errors import UserError
from promptbench.leaderboard.boards import columns
from promptbench.leaderboard.boards.board import BoardColumn
from promptbench.leaderboard.checking import twins
from promptbench.models.preprocess import Preprocess
from promptbench.planning import labels, plan
from promptbench.planning.cells import Cell
from promptbench.planning.legs import legs_of
from promptbench.planning.request import Request
from promptbench.records import class_set_claims
from promptbench.report import outcomes
from promptbench.running.lab.compute import resolve
from promptbench.running.predicting.frozen_features import of_target
from tests.data import toy

CLIP, CPU = Preprocess(224), resolve("cpu", "fp32")
PLUGINS = Path(__file__).parent / "plugins"


@given(st.integers(1, 2000))
def test_standard_sets_are_those_of_the_field(n: int) -> None:
    middle = ceil(n / 2)
    sets = {name: list(rule(n)) for name, rule in STANDARD.items()}
    assert sets == {
        "all": list(range(n)),
        "base": list(range(middle)),
        "new": list(range(middle, n)),
    }


@given(st.integers(1, 300), st.integers(1, 12))
def test_portions_cover_all_classes_once_and_are_nearly_equal(n: int, of: int) -> None:
    parts = [portion(k, k + 1, of=of)(n) for k in range(of)]
    assert [label for part in parts for label in part] == list(range(n))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    assert list(portion(0, of, of=of)(n)) == list(range(n))


@pytest.mark.parametrize(("begin", "end", "of"), [(1, 1, 2), (0, 3, 2), (-1, 1, 2), (0, 0, 0)])
def test_a_portion_that_is_none_is_refused(begin: int, end: int, of: int) -> None:
    with pytest.raises(UserError, match="needs 0 <= begin < end <= of"):
        portion(begin, end, of=of)


class Made(Protocol):
    """A protocol of one leg on counts, which has four classes."""

    title, version = "Made", 1

    def __init__(self, rules: dict[Any, Rule], *targets: Target, learned: str = "all") -> None:
        self.rules, self.targets, self.learned = rules, targets, learned

    def class_sets(self) -> dict[Any, Rule]:
        return self.rules

    def legs(self, shots: int, only: Sequence[str] | None = None) -> list[Leg]:
        return [Leg(Source("counts", self.learned, shots), self.targets)]

    def columns(self, legs: Sequence[Leg]) -> list[Any]:
        return []


def raising(n: int) -> list[int]:
    return [1, 2][n:][0]  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("rules", "reason"),
    [
        (
            {"x": lambda n: [n]},
            "'x' is none of counts, which has 4 classes: the label 4 is not one",
        ),
        ({"x": lambda n: [-1, 0]}, "the label -1 is not one of its classes"),
        ({"x": lambda n: []}, "it holds no class"),
        ({"x": lambda n: [1, 1]}, "a label is there twice"),
        ({"x": lambda n: [0.5]}, "TypeError: 'float' object cannot be interpreted"),
        ({"x": lambda n: None}, "TypeError: 'NoneType' object is not iterable"),
        ({"x": raising}, r"IndexError: list index out of range \(test_class_sets.py, line"),
        ({}, "unknown class set 'x'; known: all, base, new"),
        ({"xy": lambda n: [0]}, "unknown class set 'x'; did you mean 'xy'"),
        ({"base": lambda n: [0]}, "gives the class set 'base' a meaning of its own"),
        ({"x-y": lambda n: [0]}, "calls a class set 'x-y'; use up to 32 lower-case letters"),
        ({"X": lambda n: [0]}, "calls a class set 'X'"),
        ({"../x": lambda n: [0]}, "calls a class set '../x'"),
        ({1: lambda n: [0]}, "calls a class set 1"),
    ],
)
def test_a_class_set_that_cannot_be_is_refused_by_name(rules: Any, reason: str) -> None:
    with pytest.raises(UserError, match=reason):
        legs_of(Made(rules, Target("counts", "x", "none")), 16)


@pytest.mark.parametrize(
    ("classes", "names", "strangers"),
    [
        ("all", "base", "2 are"),
        ("base", "new", "2 are"),
        ("x", "base", "1 is"),
        ("new", "x", "1 is"),
    ],
)
def test_images_whose_classes_have_no_name_are_refused(
    classes: str, names: str, strangers: str
) -> None:
    made = Made({"x": lambda n: [0, 2]}, Target("counts", classes, "none", names=names))
    expected = f"its images show {classes} classes, of which {strangers} not among the {names} "
    with pytest.raises(UserError, match=expected):
        legs_of(made, 16)


def test_labels_are_filled_in_and_ascend_but_not_for_standard_sets() -> None:
    made = Made({"x": lambda n: {3, 0}}, Target("counts", "x", "none", names="all"))  # type: ignore[dict-item,return-value]
    (leg,) = legs_of(made, 16)
    assert leg.source == Source("counts", "all", 16) and leg.source.labels is None
    (target,) = leg.targets
    assert (target.labels, target.competing, target.key) == ((0, 3), None, "counts/x-of-all")
    assert list(target.labels_in(4)) == [0, 3] and list(target.competing_in(4)) == [0, 1, 2, 3]
    assert leg.class_sets == {"counts": {"x": (0, 3)}}


ONE = """
from promptbench.records import class_set_claims
from promptbench.api import (Leg, Protocol, Source, Target)

class {cls}(Protocol):
    title, version, trains_as = "{cls}", 1, "base_to_new"

    def class_sets(self):
        return {{"{name}": lambda n: {labels}}}

    def legs(self, shots, only=None):
        target = Target("counts", "{name}", "none", names={names})
        return [Leg(Source("counts", "{learned}", shots), (target,))]

    def columns(self, legs):
        return []
"""


def cell(folder: Path, name: str, labels: Sequence[int], learned: str = "", **options: Any) -> Cell:
    folder.mkdir()
    path = folder / "one.py"
    facts = {"cls": f"One{folder.name}", "name": name, "labels": labels, "learned": learned or name}
    path.write_text(ONE.format(**{"names": None, **facts, **options}))
    PROTOCOLS._files.clear()
    registry.add_file(path)
    request = Request(["coop"], "one", baseline=False, seeds=[1])
    (made,) = plan.build(request, "fp32").cells
    return made


def test_ids_depend_on_which_labels_are_learned_and_not_on_their_name(tmp_path: Path) -> None:
    first = cell(tmp_path / "a", "some", [0, 1])
    renamed = cell(tmp_path / "b", "others", [0, 1])
    other = cell(tmp_path / "c", "some", [0, 2])
    assert first.training_id == renamed.training_id  # they share a training
    assert first.training_id != other.training_id
    assert len({first.id, renamed.id, other.id}) == 3


def test_ids_depend_on_which_labels_are_scored_and_compete(tmp_path: Path) -> None:
    made = [
        cell(tmp_path / "a", "some", [0, 1], "all"),
        cell(tmp_path / "b", "some", [0, 2], "all"),
        cell(tmp_path / "c", "some", [0, 1], "all", names="'all'"),
    ]
    assert len({each.training_id for each in made}) == 1
    assert len({each.id for each in made}) == 3


@pytest.mark.parametrize(("protocol", "fits"), [("increments", True), ("thirds", False)])
def test_a_closed_method_fits_where_every_name_is_learned(protocol: str, fits: bool) -> None:
    files = [PLUGINS / f"{protocol}.py"]
    registry.add_files(files)
    request = Request(["linear_probe"], protocol, datasets=["counts"])
    if fits:
        assert {c.method.name for c in plan.build(request, "fp32").cells} >= {"linear_probe"}
    else:
        with pytest.raises(UserError, match="it scores only classes it was trained on"):
            plan.build(request, "fp32")


def test_cells_that_learn_other_classes_of_a_dataset_are_told_apart(tmp_path: Path) -> None:
    files = [PLUGINS / "increments.py"]
    registry.add_files(files)
    request = Request(["zeroshot"], "increments", datasets=["counts"], seeds=[1])
    made = plan.build(request, "fp32", tmp_path)
    (made,) = labels.told_apart([made])
    assert [c.label for c in made.cells] == [
        "zeroshot (learns seen1) on counts, 16 shots, seed 1",
        "zeroshot (learns seen2) on counts, 16 shots, seed 1",
    ]


def test_what_is_held_against_itself_needs_no_card() -> None:
    target = Target("dtd", "base", "none", names="new")
    said = class_set_claims.problem(Leg(Source("dtd", "base", 16), (target,)), {}, [[1]])
    assert said == "dtd/base-of-new: no base class is among the new classes"


def test_one_training_under_two_names_is_no_copy() -> None:
    """Records of two protocols whose class sets hold the same labels learn from the same images."""

    def learned(name: str, labels: tuple[int, ...] | None) -> object:
        own = SimpleNamespace(leg=Leg(Source("counts", name, 16, labels), ()), suite="demo")
        return twins._learned_from(cast(Any, own))

    assert learned("some", (0, 1)) == learned("others", (0, 1)) == learned("base", None)
    assert learned("some", (0, 1)) != learned("some", (0, 2))


def test_resampled_images_are_those_of_before_and_of_other_sources() -> None:
    """The draws behind the intervals of `compare` follow from the target only."""
    drawn = [outcomes._generator((f"dtd/{c}", 16, "dtd/new")).integers(2**40) for c in ("a", "b")]
    seed = zlib.crc32(repr(("dtd", 16, "dtd/new")).encode())
    assert drawn == [np.random.default_rng(seed).integers(2**40)] * 2


def test_the_site_hides_what_lies_behind_the_ranking_quantity() -> None:
    def kinds(*titles: tuple[str, str]) -> list[str]:
        main, *single = [
            BoardColumn(f"{group}/{title}", group, title, group == "Average", group == "Average")
            for group, title in titles
        ]
        return [columns.kind(column, [main, *single]) for column in single]

    three = [("dtd", "first"), ("dtd", "second"), ("dtd", "mean")]
    assert kinds(("Average", "mean"), *three) == ["detail", "detail", "main"]
    assert kinds(("Average", "Average"), ("dtd", "base"), ("", "dtd")) == ["main", "main"]


def test_frozen_features_are_those_of_labels_and_not_of_a_name(tmp_path: Path) -> None:
    data = toy.write(tmp_path / "toy")
    backbone: Any = SimpleNamespace(name="b", sha256="0", preprocess=CLIP)
    keys = [
        of_target(backbone, data, Target("toy", name, "none", labels=given), CPU, 4, 2)._key
        for name, given in (("x", (0, 1)), ("y", (0, 1)), ("x", (0, 2)), ("base", None))
    ]
    assert keys[0] == keys[1] and len(set(keys)) == 3
