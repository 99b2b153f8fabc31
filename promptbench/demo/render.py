"""From what a picture shows to its pixels."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from promptbench.demo import canvas
from promptbench.demo.canvas import OVERSAMPLING, PIXELS, SIDE, Field, Pose, Rng
from promptbench.demo.shapes import SHAPES
from promptbench.demo.world import COLORS, Spec, choose

_LAYOUTS = {
    2: ((0.28, 0.5), (0.72, 0.5)),
    3: ((0.5, 0.27), (0.27, 0.72), (0.73, 0.72)),
    4: ((0.27, 0.27), (0.73, 0.27), (0.27, 0.73), (0.73, 0.73)),
}
_LINE = {"sketch": 2, "neon": 3}
Range = tuple[float, float]


@dataclass(frozen=True, slots=True)
class RenderOptions:
    """How pictures are taken.

    Lengths are shares of the picture's side, intensities 0..255, shares probabilities in 0..1.
    """

    rotation: Range  # of the object, radians; around pi is upside down
    size: Range  # half the object's size
    offset: float  # largest distance from the middle, along each axis
    stretch: float  # largest relative change of each axis
    wobble: float  # standard deviation of the corners, in half object sizes
    clutter: float  # share of pictures with other, smaller objects
    clutter_most: int  # largest number of those
    clutter_size: Range  # half their size
    clutter_distance: Range  # from the middle
    cast: float  # standard deviation of the color cast
    gray: float  # share of pictures without color
    blur: float  # share of blurred pictures
    blur_strength: Range  # weight of the blurred picture
    noise: Range  # standard deviation
    brightness: Range  # factor


PRETRAINING = RenderOptions(
    rotation=(-0.25, 0.25),
    size=(0.26, 0.42),
    offset=0.08,
    stretch=0.12,
    wobble=0.03,
    clutter=0.35,
    clutter_most=2,
    clutter_size=(0.06, 0.14),
    clutter_distance=(0.4, 0.55),
    cast=10.0,
    gray=0.05,
    blur=0.15,
    blur_strength=(0.5, 0.8),
    noise=(0.0, 14.0),
    brightness=(0.8, 1.15),
)


def render(rng: Rng, spec: Spec, options: RenderOptions) -> NDArray[np.uint8]:
    """The picture of `spec`, uint8 [32, 32, 3]; `rng` decides all that the spec leaves open."""
    picture = _backdrop(rng, spec)
    if rng.random() < options.clutter and spec.style != "sketch":
        picture = _with_clutter(rng, picture, spec, options)
    picture = _with_objects(rng, picture, spec, options)
    blocks = picture.reshape(PIXELS, OVERSAMPLING, PIXELS, OVERSAMPLING, 3)
    return _photographed(rng, blocks.mean(axis=(1, 3)), spec.style, options)


def _backdrop(rng: Rng, spec: Spec) -> Field:
    scene = canvas.background(rng, spec.scene)
    if spec.style == "neon":
        return 0.12 * scene + (10.0, 5.0, 25.0)
    if spec.style == "sketch":
        return np.full_like(scene, 245.0)
    if spec.style == "silhouette":
        scene[:] = canvas.rgb(spec.color) / 2 + 120
    return scene


def _paint(picture: Field, mask: Field, color: Field | float) -> Field:
    return picture * (1 - mask) + color * mask


def _with_clutter(rng: Rng, picture: Field, spec: Spec, options: RenderOptions) -> Field:
    for _ in range(int(rng.integers(1, options.clutter_most + 1))):
        shape = choose(rng, list(SHAPES))
        color = canvas.rgb(choose(rng, list(COLORS)))
        angle = rng.uniform(0, 2 * math.pi)
        distance = rng.uniform(*options.clutter_distance) * SIDE
        pose = Pose(
            x=SIDE / 2 + distance * math.cos(angle),
            y=SIDE / 2 + distance * math.sin(angle),
            size=SIDE * rng.uniform(*options.clutter_size),
            rotation=rng.uniform(-math.pi, math.pi),
        )
        mask = canvas.mask(rng, shape, pose, options.stretch, wobble=0.0)
        picture = _paint(picture, mask, 20.0 if spec.style == "silhouette" else color)
    return picture


def _poses(rng: Rng, spec: Spec, options: RenderOptions) -> list[Pose]:
    """One pose per object: equal sizes and rotations, set apart from each other."""
    rotation = rng.uniform(*options.rotation)
    mirrored = bool(rng.random() < 0.5) and spec.shape in SHAPES  # symbols stay readable
    places: tuple[tuple[float, float], ...]
    if spec.count == 1:
        places, spread, size = ((0.5, 0.5),), options.offset, rng.uniform(*options.size)
    else:
        places, spread, size = _LAYOUTS[spec.count], 0.04, rng.uniform(0.15, 0.2)
    return [
        Pose(
            x=SIDE * (x + rng.uniform(-spread, spread)),
            y=SIDE * (y + rng.uniform(-spread, spread)),
            size=SIDE * size,
            rotation=rotation,
            mirrored=mirrored,
        )
        for x, y in places
    ]


def _with_objects(rng: Rng, picture: Field, spec: Spec, options: RenderOptions) -> Field:
    color = np.clip(canvas.rgb(spec.color) + rng.normal(0, options.cast, 3), 0, 255)
    second = canvas.rgb(spec.second_color)
    line = _LINE.get(spec.style, 0)
    for pose in _poses(rng, spec, options):
        mask = canvas.mask(rng, spec.shape, pose, options.stretch, options.wobble, line)
        if spec.style == "neon":
            lit = np.clip(picture + 1.5 * canvas.glow(mask) * color, 0, 255)
            picture = _paint(lit, mask, color / 2 + 127)
        elif spec.style == "sketch":
            picture = _paint(picture, mask, 25.0)
        elif spec.style == "silhouette":
            picture = _paint(picture, mask, 20.0)
        else:
            pattern = canvas.fill_pattern(rng, spec.fill)[..., None]
            picture = _paint(picture, mask, pattern * color + (1 - pattern) * second)
    return picture


def _photographed(
    rng: Rng, picture: Field, style: str, options: RenderOptions
) -> NDArray[np.uint8]:
    """What the camera makes of the scene, float64 [32, 32, 3]: grayness, blur, exposure, noise."""
    if style == "negative":
        picture = 255 - picture
    if rng.random() < options.gray:
        picture = np.repeat(picture.mean(axis=2, keepdims=True), 3, axis=2)
    if rng.random() < options.blur:
        picture = _blurred(picture, rng.uniform(*options.blur_strength))
    if style == "corrupt":
        picture = _blurred(picture, 1.0)
    deviation = rng.uniform(*options.noise) + (45 if style == "corrupt" else 0)
    exposed = picture * rng.uniform(*options.brightness)
    noisy = exposed + rng.normal(0, 1, picture.shape) * deviation
    return np.rint(np.clip(noisy, 0, 255)).astype(np.uint8)


def _blurred(picture: Field, strength: float) -> Field:
    """A picture mixed with the mean of its 3 x 3 neighbourhoods."""
    padded = np.pad(picture, ((1, 1), (1, 1), (0, 0)), mode="edge")
    shifted = [padded[y : y + PIXELS, x : x + PIXELS] for y in range(3) for x in range(3)]
    mean: Field = np.mean(shifted, axis=0)
    return (1 - strength) * picture + strength * mean
