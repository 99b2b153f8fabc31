"""The pieces of a picture at three times its resolution: scenes, fill patterns and masks.

All arithmetic that decides a pixel is in float64: the last bit of a vectorised sine differs
between processors, and in float64 it practically never reaches the rounded 8-bit value.
"""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from promptbench.demo.shapes import OUTLINES
from promptbench.demo.world import COLORS

PIXELS = 32
OVERSAMPLING = 3
SIDE = PIXELS * OVERSAMPLING

Field = NDArray[np.float64]
Rng = np.random.Generator

_Y: Field
_X: Field
_Y, _X = np.mgrid[0:SIDE, 0:SIDE].astype(np.float64)


class Pose(NamedTuple):
    """Where an object lies: centre and half size in canvas pixels, rotation in radians."""

    x: float
    y: float
    size: float
    rotation: float
    mirrored: bool = False


@functools.cache
def _interpolation(cells: int) -> Field:
    """Linear interpolation from `cells` values to the canvas: float64 [SIDE, cells]."""
    position = np.linspace(0, cells - 1, SIDE)
    weights: Field = np.maximum(1 - np.abs(position[:, None] - np.arange(cells)), 0)
    return weights


def _clouds(rng: Rng, cells: int, amplitude: float) -> Field:
    """Smooth noise, float64 [SIDE, SIDE]."""
    weights = _interpolation(cells)
    return amplitude * (weights @ rng.standard_normal((cells, cells)) @ weights.T)


def rgb(color: str) -> Field:
    """A named color, float64 [3] in 0..255."""
    return np.array(COLORS[color], dtype=np.float64)


def background(rng: Rng, scene: str) -> Field:
    """A scene without objects, float64 [SIDE, SIDE, 3] in 0..255."""
    shade = rng.normal(0, 12, 3)
    if scene == "wall":
        color, light = rgb(list(COLORS)[rng.integers(len(COLORS))]), rng.uniform(40, 150)
        picture = color / 2 + light + ((_Y / SIDE - 0.5) * rng.uniform(-60, 60))[..., None]
    elif scene == "brick":
        picture = np.where(_mortar(rng)[..., None], 190.0, np.array((165, 80, 60)) + shade)
    else:
        base, texture = _texture(rng, scene)
        picture = np.array(base) + shade + texture[..., None]
    return np.clip(picture, 0, 255)


def _texture(rng: Rng, scene: str) -> tuple[tuple[int, int, int], Field]:
    """The base color of a natural scene and its texture, float64 [SIDE, SIDE]."""
    if scene == "grass":
        return (70, 140, 50), _clouds(rng, 30, 22) + _clouds(rng, 6, 15)
    if scene == "water":
        return (50, 110, 170), 18 * np.sin(_Y / rng.uniform(3, 4.5) + _clouds(rng, 5, 1.2))
    if scene == "sand":
        return (205, 180, 130), _clouds(rng, 45, 14)
    if scene == "night":
        stars = rng.random((PIXELS, PIXELS)) > 0.97
        return (15, 18, 45), 20 * _Y / SIDE + 170 * np.kron(stars, np.ones((3, 3)))
    if scene == "snow":
        return (225, 230, 240), _clouds(rng, 10, 10)
    if scene == "wood":
        return (150, 105, 60), 16 * np.sin((_X + _clouds(rng, 4, 8)) / rng.uniform(2.5, 4))
    raise ValueError(f"unknown scene {scene!r}")


def _mortar(rng: Rng) -> NDArray[np.bool_]:
    """Where a brick wall shows mortar, bool [SIDE, SIDE]."""
    height = rng.uniform(14, 20)
    shift = (_Y // height) % 2 * height
    return (_Y % height < 3) | ((_X + shift) % (2 * height) < 3)


def fill_pattern(rng: Rng, fill: str) -> Field:
    """How much of the first color shows, float64 [SIDE, SIDE] in 0..1; the rest is the second."""
    period, angle = rng.uniform(11, 17), rng.uniform(-0.5, 0.5)
    phase = rng.uniform(0, period)
    along = _X * math.cos(angle) + _Y * math.sin(angle)
    across = _Y * math.cos(angle) - _X * math.sin(angle)
    first, second = (along + phase) % period, (across + phase) % period
    if fill == "plain":
        return np.ones((SIDE, SIDE))
    if fill == "striped":
        return (first < period / 2).astype(np.float64)
    if fill == "dotted":
        distance = (first - period / 2) ** 2 + (second - period / 2) ** 2
        return (distance >= (0.3 * period) ** 2).astype(np.float64)
    if fill == "checkered":
        return ((first < period / 2) ^ (second < period / 2)).astype(np.float64)
    if fill == "hatched":
        rising = ((along + across) / 1.4 + phase) % period
        falling = ((along - across) / 1.4 + phase) % period
        return (np.minimum(rising, falling) >= 0.28 * period).astype(np.float64)
    if fill == "wavy":
        wave = 0.3 * period * np.sin(across * 2 * math.pi / (1.6 * period))
        return ((along + phase + wave) % period < period / 2).astype(np.float64)
    if fill == "shiny":
        x, y = SIDE * rng.uniform(0.3, 0.5), SIDE * rng.uniform(0.25, 0.45)
        return np.clip(1.8 * np.hypot(_X - x, _Y - y) / SIDE, 0, 1)
    raise ValueError(f"unknown fill {fill!r}")


def mask(rng: Rng, shape: str, pose: Pose, stretch: float, wobble: float, line: int = 0) -> Field:
    """Where an object covers the canvas, float64 [SIDE, SIDE, 1], 0 or 1.

    Args:
        stretch: largest relative change of each axis, and of the slant.
        wobble: standard deviation of every corner, in units of half the object's size.
        line: draw only an outline of this many canvas pixels; 0 draws the area.
    """
    image = Image.new("L", (SIDE, SIDE), 0)
    draw = ImageDraw.Draw(image)
    width = pose.size * rng.uniform(1 - stretch, 1 + stretch) * (-1 if pose.mirrored else 1)
    height = pose.size * rng.uniform(1 - stretch, 1 + stretch)
    slant = rng.uniform(-stretch, stretch)
    cosine, sine = math.cos(pose.rotation), math.sin(pose.rotation)
    turn = np.array([[cosine * width, (slant - sine) * height], [sine * width, cosine * height]])
    for part in OUTLINES[shape]:
        points = part.points + rng.normal(0, wobble, 2)
        if len(points) < 16:  # corners move one by one, curves as a whole
            points = points + rng.normal(0, wobble, points.shape)
        placed = points @ turn.T + (pose.x, pose.y)
        draw.polygon([(x, y) for x, y in placed.tolist()], fill=255 if part.solid else 0)
    if line:
        image = _outlined(image, line)
    return np.asarray(image, dtype=np.float64)[..., None] / 255


def _outlined(image: Image.Image, line: int) -> Image.Image:
    area = np.asarray(image)
    inside = np.asarray(image.filter(ImageFilter.MinFilter(2 * line + 1)))
    return Image.fromarray(area - inside)


def glow(shape_mask: Field) -> Field:
    """A mask blurred widely, float64 [SIDE, SIDE, 1] in 0..1."""
    image = Image.fromarray((shape_mask[..., 0] * 255).astype(np.uint8))
    blurred = np.asarray(image.filter(ImageFilter.GaussianBlur(5)), dtype=np.float64)
    return blurred[..., None] / 255
