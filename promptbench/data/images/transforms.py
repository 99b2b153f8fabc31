"""Image transforms of the recipes to 8-bit levels, with an explicit random generator.

torchvision's random transforms draw from torch's global generator, which would make a sample's
crop depend on the number of workers; here every sample has a generator of its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from promptbench.data.images.decoding import decode as decode  # part of this interface
from promptbench.data.images.randaugment import randomised
from promptbench.models.preprocess import Interpolation, ResizeMode
from promptbench.support.compat import torchvision_functional

_FILTERS = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}
_RATIO = (3 / 4, 4 / 3)
_TRIES = 10

Levels = NDArray[np.uint8]  # pixels of an image, [3, height, width]


class Normalisation(Protocol):
    """Square size in pixels, channel mean and std in [0, 1]; how images are resized to it."""

    def __hash__(self) -> int: ...
    @property
    def size(self) -> int: ...
    @property
    def mean(self) -> tuple[float, float, float]: ...
    @property
    def std(self) -> tuple[float, float, float]: ...
    @property
    def interpolation(self) -> Interpolation: ...
    @property
    def resize_mode(self) -> ResizeMode: ...
    @property
    def fill_color(self) -> int: ...


class Crop(NamedTuple):
    """A box of an image in pixels, and whether it is mirrored."""

    top: int
    left: int
    height: int
    width: int
    mirrored: bool

    @property
    def bottom(self) -> int:
        return self.top + self.height

    @property
    def right(self) -> int:
        return self.left + self.width


def for_testing(image: Image.Image, target: Normalisation) -> Levels:
    """An image as it is tested, resized as the target's mode has it: uint8 [3, size, size].

    Every pixel is that of open_clip's own transform (`open_clip.transform.image_transform_v2`),
    which is defined for all but images that "longest" would make thinner than a pixel.
    """
    f = torchvision_functional()
    size = _SIZES[target.resize_mode](image, target.size)
    whole = f.resize(image, size, f.InterpolationMode(target.interpolation))
    if target.resize_mode == "longest":
        return _levels(_padded(whole, target))
    return _levels(f.center_crop(whole, [target.size, target.size]))


def resized(image: Image.Image, target: Normalisation, size: tuple[int, int]) -> Image.Image:
    """An image of another size (width, height), resampled across first and then down.

    In one call Pillow did so as well until 12.1, but since 13 the shape decides, which changes the
    last bit of pixels.
    """
    for step in ((size[0], image.height), size):
        image = image.resize(step, _FILTERS[target.interpolation])
    return image


def for_randaugment(
    image: Image.Image,
    target: Normalisation,
    operations: int,
    magnitude: int,
    rng: np.random.Generator,
) -> Levels:
    """Both sides to `size`, and RandAugment of what that gives: uint8 [3, size, size]."""
    whole = resized(image, target, (target.size, target.size))
    return _levels(randomised(whole, operations, magnitude, rng))


def _fitted(image: Image.Image, size: int) -> list[int]:
    """(height, width) of an image whose longer side becomes `size`."""
    ratio = max(image.height, image.width) / size
    return [max(round(side / ratio), 1) for side in (image.height, image.width)]


# What torchvision's resize is asked for: one number is of the shorter side.
_SIZES: dict[ResizeMode, Callable[[Image.Image, int], list[int]]] = {
    "shortest": lambda _, size: [size],
    "squash": lambda _, size: [size, size],
    "longest": _fitted,
}


def _padded(image: Image.Image, target: Normalisation) -> Image.Image:
    """The image in the middle of a square; of an odd number of missing pixels more lie behind."""
    square = Image.new("RGB", (target.size, target.size), (target.fill_color,) * 3)
    corner = ((target.size - image.width) // 2, (target.size - image.height) // 2)
    square.paste(image, corner)
    return square


def for_training(
    image: Image.Image,
    target: Normalisation,
    scale: tuple[float, float],
    flip: float,
    rng: np.random.Generator,
) -> Levels:
    """Random resized crop (ratio 3/4 to 4/3), horizontal flip with probability `flip`: uint8
    [3, size, size]."""
    crop = draw(image.height, image.width, scale, flip, rng)
    cut = image.crop((crop.left, crop.top, crop.right, crop.bottom))
    whole = resized(cut, target, (target.size, target.size))
    if crop.mirrored:
        whole = whole.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return _levels(whole)


def draw(
    height: int, width: int, scale: tuple[float, float], flip: float, rng: np.random.Generator
) -> Crop:
    """The random crop of an image, and with probability `flip` its mirror image."""
    box = crop_box(height, width, scale, rng)
    return Crop(*box, mirrored=bool(rng.random() < flip))


def crop_box(
    height: int, width: int, scale: tuple[float, float], rng: np.random.Generator
) -> tuple[int, int, int, int]:
    """(top, left, height, width) of a crop, distributed as in torchvision's RandomResizedCrop."""
    log_ratio = (math.log(_RATIO[0]), math.log(_RATIO[1]))
    for _ in range(_TRIES):
        area = height * width * rng.uniform(*scale)
        ratio = math.exp(rng.uniform(*log_ratio))
        w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < w <= width and 0 < h <= height:
            top, left = rng.integers(0, height - h + 1), rng.integers(0, width - w + 1)
            return int(top), int(left), h, w
    bounded = min(max(width / height, _RATIO[0]), _RATIO[1])
    w, h = min(width, round(height * bounded)), min(height, round(width / bounded))
    return (height - h) // 2, (width - w) // 2, h, w


def _levels(image: Image.Image) -> Levels:
    return np.asarray(image).transpose(2, 0, 1)
