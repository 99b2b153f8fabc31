"""What there is to see: the attributes of a picture, and which of their pairs are held out.

Pretraining sees the shapes with Zipf-like frequencies, four in five of the (shape, fill) and
(shape, color) pairs, few sketches and silhouettes, and no negative, corrupt or neon picture.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from promptbench.demo.shapes import DIGITS, LETTERS, OUTLINES, SHAPES
from promptbench.support import seeding

COLORS: dict[str, tuple[int, int, int]] = {
    "red": (215, 35, 35),
    "orange": (245, 140, 25),
    "yellow": (240, 220, 40),
    "green": (40, 160, 55),
    "cyan": (60, 205, 215),
    "blue": (40, 70, 205),
    "purple": (125, 45, 165),
    "pink": (245, 150, 190),
    "brown": (125, 78, 40),
    "white": (240, 240, 240),
    "black": (25, 25, 25),
    "gray": (128, 128, 128),
}
FILLS = ("plain", "striped", "dotted", "checkered", "hatched", "wavy", "shiny")
SCENES = ("wall", "grass", "water", "sand", "brick", "night", "snow", "wood")
COUNTS = (1, 2, 3, 4)
STYLES = ("photo", "sketch", "silhouette", "negative", "corrupt", "neon")

# The values of every attribute that a class name or a training label can name.
ATTRIBUTES: dict[str, tuple[Any, ...]] = {
    "shape": tuple(OUTLINES),
    "color": tuple(COLORS),
    "fill": FILLS,
    "scene": SCENES,
    "count": COUNTS,
    "style": STYLES,
}

_HELD_OUT_ONE_IN = 5
_PLAIN_SHARE = 0.35
_SINGLE_SHARE = 0.88
_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True)
class Spec:
    """What one picture shows: `count` equal objects in one scene."""

    shape: str
    color: str
    second_color: str
    fill: str
    scene: str
    count: int = 1
    style: str = "photo"


def choose(rng: np.random.Generator, values: Sequence[_Value]) -> _Value:
    """One of `values`, all equally likely."""
    return values[int(rng.integers(len(values)))]


def random_color(rng: np.random.Generator, unlike: str = "") -> str:
    """A color's name, never `unlike`."""
    return choose(rng, [color for color in COLORS if color != unlike])


@functools.cache
def held_out(shape: str, quality: str) -> bool:
    """Whether pretraining never pairs one of the 36 shapes with this fill or color."""
    if shape not in SHAPES or quality == "plain":
        return False
    return seeding.stream(0, "held out", shape, quality) % _HELD_OUT_ONE_IN == 0


@functools.cache
def _shape_shares() -> np.ndarray:
    """How often pretraining shows each of the 36 shapes: float64 [36], sums to one."""
    shares = 1 / np.sqrt(np.arange(1, len(SHAPES) + 1))
    shares = seeding.generator(0, "shape shares").permutation(shares)
    shares /= shares.sum()
    return shares


def _pretraining_shape(rng: np.random.Generator) -> str:
    kind = rng.random()
    if kind < 0.84:
        return list(SHAPES)[int(rng.choice(len(SHAPES), p=_shape_shares()))]
    return choose(rng, list(DIGITS) if kind < 0.94 else list(LETTERS))


def _pretraining_style(rng: np.random.Generator) -> str:
    kind = rng.random()
    return "sketch" if kind < 0.04 else "silhouette" if kind < 0.06 else "photo"


def sample_pretraining(rng: np.random.Generator) -> Spec:
    """A picture of pretraining's world; never a held-out pair."""
    while True:
        shape = _pretraining_shape(rng)
        color = random_color(rng)
        fill = "plain" if rng.random() < _PLAIN_SHARE else choose(rng, FILLS[1:])
        if not held_out(shape, fill) and not held_out(shape, color):
            break
    style = _pretraining_style(rng)
    several = shape in SHAPES and style == "photo" and rng.random() >= _SINGLE_SHARE
    return Spec(
        shape=shape,
        color=color,
        second_color=random_color(rng, unlike=color),
        fill=fill,
        scene=choose(rng, SCENES),
        count=choose(rng, COUNTS[1:]) if several else 1,
        style=style,
    )


def sample_given(rng: np.random.Generator, fixed: Mapping[str, Any], style: str) -> Spec:
    """A picture with some attributes fixed and the others uniform, held-out pairs included.

    What is not fixed is one of the 36 shapes, once, plain in two of five cases.
    """
    color = fixed.get("color") or random_color(rng)
    plain = rng.random() < 0.4
    return Spec(
        shape=fixed.get("shape") or choose(rng, list(SHAPES)),
        color=color,
        second_color=random_color(rng, unlike=color),
        fill=fixed.get("fill") or ("plain" if plain else choose(rng, FILLS[1:])),
        scene=fixed.get("scene") or choose(rng, SCENES),
        count=fixed.get("count", 1),
        style=style,
    )
