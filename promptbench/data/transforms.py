"""Image transforms of the recipes, with an explicit random generator.

torchvision's random transforms draw from torch's global generator, which would make a sample's
crop depend on the number of workers; here every sample has a generator of its own.
"""

from __future__ import annotations

import io
import math
from typing import Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from promptbench.compat import torchvision_functional

_RATIO = (3 / 4, 4 / 3)
_TRIES = 10


class Normalisation(Protocol):
    """Square size in pixels, channel mean and std in [0, 1]."""

    @property
    def size(self) -> int: ...
    @property
    def mean(self) -> tuple[float, float, float]: ...
    @property
    def std(self) -> tuple[float, float, float]: ...


def decode(data: bytes) -> Image.Image:
    """An RGB image; converted before any resize, as palettes and alpha do not interpolate."""
    return Image.open(io.BytesIO(data)).convert("RGB")


def for_testing(image: Image.Image, target: Normalisation) -> Tensor:
    """Shorter side to `size` (bicubic), centre crop, normalise: float32 [3, size, size]."""
    f = torchvision_functional()
    resized = f.resize(image, target.size, f.InterpolationMode.BICUBIC)
    return _to_tensor(f.center_crop(resized, [target.size, target.size]), target)


def for_training(
    image: Image.Image,
    target: Normalisation,
    scale: tuple[float, float],
    flip: float,
    rng: np.random.Generator,
) -> Tensor:
    """Random resized crop (bicubic, ratio 3/4 to 4/3), horizontal flip with probability `flip`."""
    f = torchvision_functional()
    top, left, height, width = crop_box(image.height, image.width, scale, rng)
    size = [target.size, target.size]
    cropped = f.resized_crop(image, top, left, height, width, size, f.InterpolationMode.BICUBIC)
    if rng.random() < flip:
        cropped = f.hflip(cropped)
    return _to_tensor(cropped, target)


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


def _to_tensor(image: Image.Image, target: Normalisation) -> Tensor:
    """Normalised pixels; in numpy, whose one thread does not contend with other decoding threads'.

    The operations and their order are torchvision's, so that every bit is.
    """
    pixels = np.asarray(image).transpose(2, 0, 1).astype(np.float32, order="C")
    pixels /= 255
    pixels -= np.array(target.mean, np.float32)[:, None, None]
    pixels /= np.array(target.std, np.float32)[:, None, None]
    return torch.from_numpy(pixels)
