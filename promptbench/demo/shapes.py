"""The outlines of everything that can be drawn: 36 shapes, ten digits and nine letters.

Coordinates are in units of half the object's size, x to the right and y downwards, inside about
[-1, 1]. Parts are painted in order; a part that is not `solid` cuts a hole.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]


class Part(NamedTuple):
    """A polygon, float64 [corners, 2], that is painted or cut out."""

    points: Points
    solid: bool = True


Outline = tuple[Part, ...]


def _polygon(*corners: tuple[float, float]) -> Part:
    return Part(np.array(corners, dtype=np.float64))


def _box(left: float, top: float, right: float, bottom: float) -> Part:
    return _polygon((left, top), (right, top), (right, bottom), (left, bottom))


def _ellipse(
    width: float,
    height: float,
    x: float = 0.0,
    y: float = 0.0,
    arc: tuple[float, float] = (0.0, 2 * math.pi),
) -> Part:
    angles = np.linspace(*arc, 40)
    return Part(np.stack([x + width * np.cos(angles), y + height * np.sin(angles)], axis=1))


def _half_disc(width: float, height: float, y: float) -> Part:
    return _ellipse(width, height, y=y, arc=(math.pi, 2 * math.pi))


def _radial(radii: Iterable[float], start: float = -math.pi / 2) -> Part:
    """Corners at equal angles and the given distances from the centre."""
    distances = np.array(list(radii))
    angles = start + 2 * math.pi * np.arange(len(distances)) / len(distances)
    return Part(distances[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1))


def _star(tips: int, inner: float) -> Part:
    return _radial([1.0, inner] * tips)


def _hole(part: Part) -> Part:
    return part._replace(solid=False)


def _heart() -> Part:
    angle = np.linspace(0, 2 * math.pi, 50)
    height = 13 * np.cos(angle) - 5 * np.cos(2 * angle) - 2 * np.cos(3 * angle) - np.cos(4 * angle)
    return Part(np.stack([16 * np.sin(angle) ** 3, -height], axis=1) / 17)


def _drop() -> Part:
    angle = np.linspace(0, 2 * math.pi, 50)
    width = 0.75 * np.sin(angle) * np.abs(np.sin(angle / 2)) ** 1.3
    return Part(np.stack([width, -np.cos(angle)], axis=1))


def _flower() -> Outline:
    angles = -math.pi / 2 + 2 * math.pi * np.arange(5) / 5
    petals = [_ellipse(0.42, 0.42, 0.58 * math.cos(a), 0.58 * math.sin(a)) for a in angles]
    return (*petals, _ellipse(0.3, 0.3), _hole(_ellipse(0.2, 0.2)))


_LEAF = [
    (-1, 0.6), (-0.75, -0.1), (-0.2, -0.6), (0.9, -0.8), (0.75, 0.2), (0.3, 0.65), (-0.4, 0.85),
]  # fmt: skip
_ARROW = [(-1, -0.25), (0.1, -0.25), (0.1, -0.75), (1, 0), (0.1, 0.75), (0.1, 0.25), (-1, 0.25)]
_BOLT = [(0.2, -1), (-0.6, 0.15), (-0.05, 0.15), (-0.3, 1), (0.65, -0.25), (0.1, -0.25), (0.5, -1)]
_CHEVRON = [(-0.7, -0.9), (0.1, -0.9), (0.9, 0), (0.1, 0.9), (-0.7, 0.9), (0.1, 0)]
_CROWN = [(-0.9, 0.8), (-1, -0.6), (-0.45, 0.05), (0, -0.85), (0.45, 0.05), (1, -0.6), (0.9, 0.8)]
_SANDS = [(-0.75, -0.95), (0.75, -0.95), (0.1, 0), (0.75, 0.95), (-0.75, 0.95), (-0.1, 0)]
_FLASK = [(-0.2, -0.5), (0.2, -0.5), (0.5, -0.1), (0.5, 1), (-0.5, 1), (-0.5, -0.1)]

SHAPES: dict[str, Outline] = {
    "arrow": (_polygon(*_ARROW),),
    "boat": (
        _polygon((-1, 0.3), (1, 0.3), (0.6, 0.9), (-0.6, 0.9)),
        _polygon((0, -1), (0.75, 0.15), (0, 0.15)),
        _polygon((-0.1, -0.7), (-0.1, 0.15), (-0.6, 0.15)),
    ),
    "bolt": (_polygon(*_BOLT),),
    "bottle": (_box(-0.2, -1, 0.2, -0.4), _polygon(*_FLASK)),
    "chevron": (_polygon(*_CHEVRON),),
    "circle": (_ellipse(0.9, 0.9),),
    "cloud": (
        _ellipse(0.5, 0.45, -0.5, 0.15),
        _ellipse(0.55, 0.6, 0, -0.1),
        _ellipse(0.45, 0.4, 0.55, 0.2),
        _box(-0.6, 0.1, 0.6, 0.6),
    ),
    "crescent": (_ellipse(0.95, 0.95), _hole(_ellipse(0.8, 0.8, 0.45, -0.1))),
    "cross": (_box(-0.32, -1, 0.32, 1), _box(-1, -0.32, 1, 0.32)),
    "crown": (_polygon(*_CROWN),),
    "cup": (
        _polygon((-0.85, -0.75), (0.45, -0.75), (0.35, 0.8), (-0.7, 0.8)),
        _ellipse(0.45, 0.42, 0.5, -0.1),
        _hole(_ellipse(0.22, 0.2, 0.55, -0.1)),
    ),
    "diamond": (_polygon((0, -1), (0.72, 0), (0, 1), (-0.72, 0)),),
    "dome": (_half_disc(1, 1.1, 0.5),),
    "drop": (_drop(),),
    "fish": (
        _ellipse(0.7, 0.5, -0.25, 0),
        _polygon((0.25, 0), (1, -0.6), (1, 0.6)),
        _hole(_ellipse(0.1, 0.1, -0.55, -0.12)),
    ),
    "flower": _flower(),
    "frame": (_box(-0.9, -0.9, 0.9, 0.9), _hole(_box(-0.5, -0.5, 0.5, 0.5))),
    "heart": (_heart(),),
    "hexagon": (_radial([0.98] * 6, start=0.0),),
    "hourglass": (_polygon(*_SANDS),),
    "house": (
        _box(-0.7, -0.1, 0.7, 0.9),
        _polygon((0, -1), (1, -0.1), (-1, -0.1)),
        _hole(_box(-0.2, 0.3, 0.2, 0.9)),
    ),
    "key": (
        _ellipse(0.48, 0.48, -0.5, 0),
        _hole(_ellipse(0.2, 0.2, -0.5, 0)),
        _box(-0.1, -0.13, 1, 0.13),
        _box(0.5, 0, 0.65, 0.5),
        _box(0.8, 0, 0.95, 0.5),
    ),
    "leaf": (_polygon(*_LEAF),),
    "mushroom": (_half_disc(1, 0.95, 0.1), _box(-0.3, 0.05, 0.3, 0.9)),
    "oval": (_ellipse(1, 0.58),),
    "pentagon": (_radial([0.98] * 5),),
    "rectangle": (_box(-1, -0.5, 1, 0.5),),
    "ring": (_ellipse(0.95, 0.95), _hole(_ellipse(0.5, 0.5))),
    "sparkle": (_star(4, 0.3),),
    "square": (_box(-0.8, -0.8, 0.8, 0.8),),
    "star": (_star(5, 0.42),),
    "sun": (_star(10, 0.62),),
    "trapezoid": (_polygon((-0.5, -0.65), (0.5, -0.65), (1, 0.65), (-1, 0.65)),),
    "tree": (
        _box(-0.18, 0.4, 0.18, 1),
        _polygon((0, -1), (0.65, -0.2), (-0.65, -0.2)),
        _polygon((0, -0.6), (0.85, 0.5), (-0.85, 0.5)),
    ),
    "triangle": (_polygon((0, -0.95), (0.95, 0.75), (-0.95, 0.75)),),
    "umbrella": (
        _half_disc(1, 0.9, 0.05),
        _box(-0.08, 0, 0.08, 0.9),
        _box(-0.4, 0.75, 0.08, 0.92),
    ),
}

# Seven-segment strokes, lettered as on a display: a top, b and c right, d bottom, e and f left,
# g middle.
_STROKES = {
    "a": _box(-0.5, -1, 0.5, -0.75),
    "b": _box(0.36, -1, 0.62, 0.05),
    "c": _box(0.36, -0.05, 0.62, 1),
    "d": _box(-0.5, 0.75, 0.5, 1),
    "e": _box(-0.62, -0.05, -0.36, 1),
    "f": _box(-0.62, -1, -0.36, 0.05),
    "g": _box(-0.5, -0.12, 0.5, 0.12),
}
_DIGITS = (
    "abcdef", "bc", "abged", "abgcd", "fgbc", "afgcd", "afgedc", "abc", "abcdefg", "abcdfg",
)  # fmt: skip
_LETTERS = {
    "a": "abcefg",
    "c": "afed",
    "e": "afged",
    "f": "afge",
    "h": "fbgec",
    "j": "bcde",
    "l": "fed",
    "p": "abfge",
    "u": "fbedc",
}


def _symbol(strokes: str) -> Outline:
    return tuple(_STROKES[stroke] for stroke in strokes)


DIGITS: dict[str, Outline] = {f"digit {n}": _symbol(strokes) for n, strokes in enumerate(_DIGITS)}
LETTERS: dict[str, Outline] = {f"letter {n}": _symbol(s) for n, s in _LETTERS.items()}
OUTLINES: dict[str, Outline] = {**SHAPES, **DIGITS, **LETTERS}
