"""RandAugment (Cubuk et al., arXiv 1909.13719) with Pillow, as torchvision defines it.

So many operations are drawn, one after the other and with repetition, all of one magnitude of 31;
those with a direction take a random one. Every image has a generator of its own, where torchvision
draws from torch's global one. What an operation does to the pixels is torchvision's, bit for bit;
what is turned or moved in from outside is black.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

_NEAREST = Image.Resampling.NEAREST
_AFFINE = Image.Transform.AFFINE
_TOP = 30  # the strongest magnitude; 0 is none
_MOST_MOVED = 150 / 331  # of the side

Operation = Callable[[Image.Image, float], Image.Image]
Strength = Callable[[int, Image.Image], float]


def _sheared(x: float, y: float) -> Callable[[Image.Image, float], Image.Image]:
    def apply(image: Image.Image, amount: float) -> Image.Image:
        slope = math.tan(math.radians(math.degrees(math.atan(amount))))
        matrix = (1.0, slope * x, 0.0, slope * y, 1.0, 0.0)
        return image.transform(image.size, _AFFINE, matrix, _NEAREST, fillcolor=(0, 0, 0))

    return apply


def _moved(x: int, y: int) -> Callable[[Image.Image, float], Image.Image]:
    def apply(image: Image.Image, amount: float) -> Image.Image:
        matrix = (1.0, 0.0, -float(int(amount) * x), 0.0, 1.0, -float(int(amount) * y))
        return image.transform(image.size, _AFFINE, matrix, _NEAREST, fillcolor=(0, 0, 0))

    return apply


def _enhanced(
    kind: Callable[[Image.Image], ImageEnhance._Enhance],
) -> Callable[[Image.Image, float], Image.Image]:
    return lambda image, amount: kind(image).enhance(1.0 + amount)


def _up_to(most: float) -> Strength:
    return lambda magnitude, _: _share(magnitude, most)


def _share(magnitude: int, most: float) -> float:
    """The magnitude's place between 0 and `most`: of 31 in float32, counted from the nearer end."""
    step = float(np.float32(most) / np.float32(_TOP))
    if magnitude <= _TOP // 2:
        return float(np.float32(step * magnitude))
    return float(np.float32(float(np.float32(most)) - step * (_TOP - magnitude)))


def _none(_magnitude: int, _image: Image.Image) -> float:
    """Return 0: the operation has no strength."""
    return 0.0


# Name -> what it does, how strongly, and whether it has a direction; in torchvision's order.
OPERATIONS: Mapping[str, tuple[Operation, Strength, bool]] = MappingProxyType(
    {
        "Identity": (lambda image, _: image, _none, False),
        "ShearX": (_sheared(1, 0), _up_to(0.3), True),
        "ShearY": (_sheared(0, 1), _up_to(0.3), True),
        "TranslateX": (_moved(1, 0), lambda m, i: _share(m, _MOST_MOVED * i.width), True),
        "TranslateY": (_moved(0, 1), lambda m, i: _share(m, _MOST_MOVED * i.height), True),
        "Rotate": (
            lambda image, amount: image.rotate(amount, _NEAREST, fillcolor=(0, 0, 0)),
            _up_to(30.0),
            True,
        ),
        "Brightness": (_enhanced(ImageEnhance.Brightness), _up_to(0.9), True),
        "Color": (_enhanced(ImageEnhance.Color), _up_to(0.9), True),
        "Contrast": (_enhanced(ImageEnhance.Contrast), _up_to(0.9), True),
        "Sharpness": (_enhanced(ImageEnhance.Sharpness), _up_to(0.9), True),
        "Posterize": (
            lambda image, bits: ImageOps.posterize(image, int(bits)),
            lambda magnitude, _: 8 - round(magnitude / (_TOP / 4)),
            False,
        ),
        "Solarize": (
            lambda image, level: ImageOps.solarize(image, level),  # type: ignore[arg-type]
            lambda magnitude, _: _share(_TOP - magnitude, 255.0),
            False,
        ),
        "AutoContrast": (lambda image, _: ImageOps.autocontrast(image), _none, False),
        "Equalize": (lambda image, _: ImageOps.equalize(image), _none, False),
    }
)
_NAMES = tuple(OPERATIONS)


def randomised(
    image: Image.Image, operations: int, magnitude: int, rng: np.random.Generator
) -> Image.Image:
    """An RGB image after so many operations of a magnitude from 0 to 30."""
    for _ in range(operations):
        name = _NAMES[int(rng.integers(len(_NAMES)))]
        turned = bool(rng.integers(2))
        image = applied(image, name, magnitude, turned)
    return image


def applied(image: Image.Image, name: str, magnitude: int, turned: bool = False) -> Image.Image:
    """An RGB image after one operation; `turned`: the other way, if it has a direction."""
    return OPERATIONS[name][0](image, amount_of(image, name, magnitude, turned))


def amount_of(image: Image.Image, name: str, magnitude: int, turned: bool = False) -> float:
    """How far an operation goes: degrees, pixels, bits, a level or a share, as it is counted in."""
    _, strength, has_direction = OPERATIONS[name]
    amount = strength(magnitude, image)
    return -amount if turned and has_direction else amount
