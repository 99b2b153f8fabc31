"""The operative text of records: as gin wrote it, byte by byte, and read to the same values."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import gin
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from promptbench import config
from promptbench.config import ConfigSources
from promptbench.core.recipe import Recipe
from promptbench.core.registry import METHODS
from promptbench.planning.plan import build
from promptbench.planning.request import Request
from promptbench.planning.settings import known_names, settings_of
from promptbench.running.training.learner import operative_of

HERE = Path(__file__).parent

texts = st.text(st.characters(codec="utf-8"), max_size=120) | st.sampled_from(
    ["'", '"', "\"'", "\\", "a\nb", "#", "%x", "@x()", "'''", " ", "\x00\u2028\x85", "ü é 中"]
)
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | texts
plain = st.recursive(
    scalars.filter(lambda value: value not in (math.inf, -math.inf)),
    lambda inner: (
        st.lists(inner, max_size=8)
        | st.lists(inner, max_size=8).map(tuple)
        | st.dictionaries(st.integers() | texts, inner, max_size=5)
    ),
    max_leaves=30,
)
LONG = [f"a photo of a {word}, seen from far away." for word in ("dog", "it's", 'a "cat"', "ü")] * 9
HARD = (
    "",
    "x" * 200,
    "a " * 100,
    LONG,
    tuple(LONG),
    {1: LONG, -4: (-0.0, 1e-05, 1e22)},
    ((), [[]]),
)


@gin.configurable
class Thing:
    def __init__(self, value: Any = None) -> None:
        self.value = value


def with_examples(test: Any) -> Any:
    for value in HARD:
        test = example(value)(test)
    return test


def same(one: Any, other: Any) -> bool:
    """Whether two values are equal, and all their parts of the same types."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(repr(one) == repr(other))


@pytest.mark.parametrize(
    ("method", "protocol", "dataset"),
    [("promptsrc", "base_to_new", "shapes"), ("zeroshot", "few_shot", "fills")],
)
def test_texts_of_records_are_what_they_were(method: str, protocol: str, dataset: str) -> None:
    asked = Request([method], protocol, datasets=[dataset], seeds=[1], baseline=False)
    cell = build(asked, "fp32").cells[0]
    written = operative_of(cell, Recipe(**cell.recipe))
    assert written.encode() == (HERE / f"{method}.gin").read_bytes()


@with_examples
@given(plain)
def test_a_text_is_what_gin_would_write(value: Any) -> None:
    gin.clear_config()
    gin.bind_parameter("Thing.value", value)
    theirs = gin.config_str()
    gin.clear_config()
    assert config.operative_text({"Thing": {"value": value}}) == theirs


@with_examples
@given(plain)
def test_values_come_back_from_their_text(value: Any) -> None:
    (binding,) = config.parse(config.operative_text({"Thing": {"value": value}}), "text")
    assert (binding.scope, binding.cls, binding.parameter) == ("", "Thing", "value")
    assert same(binding.value, value)


def test_what_is_not_plain_data_has_no_text() -> None:
    values = {"a": 1, "b": object(), "c": float("nan"), "d": math.inf, "e": (1, [len]), "f": "nan"}
    text = config.operative_text({"B": values, "a": {"x": {1, 2}}, "C": {}})
    rule = "# " + "=" * 78
    assert text.split("\n") == [
        *("# Parameters for a:", rule, "# None.", ""),
        *("# Parameters for B:", rule, "B.a = 1", "B.f = 'nan'", ""),
        *("# Parameters for C:", rule, "# None.", ""),
    ]


@pytest.mark.parametrize("name", METHODS.names())
def test_a_text_read_with_gin_gives_the_same_settings(name: str, tmp_path: Path) -> None:
    """What `promptbench reproduce` does with a record's text."""
    method = METHODS.load(name)
    known = known_names([method])
    assert method.gin_file is not None
    own = config.load(ConfigSources((method.gin_file,)), known)
    settings = settings_of(method, own, "base_to_new/dtd", 16)
    path = tmp_path / "record.gin"
    path.write_text(config.operative_text(settings), encoding="utf-8")
    again = config.load(ConfigSources((path,)), known)
    assert settings_of(method, again, "base_to_new/dtd", 16) == settings
