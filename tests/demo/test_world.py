"""The world: what pretraining may show, and how it is drawn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promptbench.demo.render import PRETRAINING, render
from promptbench.demo.shapes import DIGITS, LETTERS, SHAPES
from promptbench.demo.world import (
    COLORS,
    FILLS,
    SCENES,
    STYLES,
    Spec,
    held_out,
    sample_given,
    sample_pretraining,
)


def test_the_world_has_the_promised_size() -> None:
    assert (len(SHAPES), len(DIGITS), len(LETTERS)) == (36, 10, 9)
    assert (len(COLORS), len(FILLS), len(SCENES)) == (12, 7, 8)
    assert list(SHAPES) == sorted(SHAPES)


def test_pretraining_never_shows_a_held_out_pair_or_an_unseen_style() -> None:
    rng = np.random.default_rng(0)
    seen = [sample_pretraining(rng) for _ in range(5000)]
    assert not any(held_out(s.shape, s.fill) or held_out(s.shape, s.color) for s in seen)
    assert {s.style for s in seen} == {"photo", "sketch", "silhouette"}
    assert all(s.count == 1 for s in seen if s.style != "photo" or s.shape not in SHAPES)


@pytest.mark.parametrize("qualities", [COLORS, FILLS[1:]])
def test_about_one_pair_in_five_is_held_out(qualities: list[str]) -> None:
    pairs = [held_out(shape, quality) for shape in SHAPES for quality in qualities]
    assert 0.15 < np.mean(pairs) < 0.27


def test_plain_fills_and_symbols_are_never_held_out() -> None:
    assert not any(held_out(shape, "plain") for shape in SHAPES)
    assert not any(held_out(symbol, color) for symbol in (*DIGITS, *LETTERS) for color in COLORS)


@settings(max_examples=40)
@given(seed=st.integers(0, 2**32 - 1), style=st.sampled_from(STYLES))
def test_every_picture_can_be_drawn(seed: int, style: str) -> None:
    spec = sample_given(np.random.default_rng(seed), {}, style)
    first, second = (render(np.random.default_rng(seed), spec, PRETRAINING) for _ in range(2))
    assert first.shape == (32, 32, 3)
    assert first.dtype == np.uint8
    assert np.array_equal(first, second)


def test_the_color_of_a_plain_object_fills_the_middle() -> None:
    spec = Spec("square", "red", "blue", "plain", "night")
    red, green, blue = render(np.random.default_rng(1), spec, PRETRAINING)[14:18, 14:18].mean(
        (0, 1)
    )
    assert red > green + 80
    assert red > blue + 80
