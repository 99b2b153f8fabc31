"""Pillow's resampling of 8-bit images as integer tensor operations, on any device.

Pillow resamples one axis after the other. On an axis, every new pixel is a weighted sum of the old
ones within reach of its centre: the weights are computed in double precision, rounded to 22 binary
places, and the sum is rounded and clipped to 0..255. Weights are made here on the host in the same
way; what remains for the device are integers below 2^31, which no device rounds, so that every bit
is Pillow's. The bicubic kernel is that of Keys (1981), "Cubic convolution interpolation for digital
image processing", with a = -1/2, the bilinear one a triangle; where an image shrinks, a kernel is
stretched by the factor of shrinking.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from promptbench.models.preprocess import Interpolation

_PLACES = 22  # binary places of a weight: with 8 bits of a pixel and some for overshoot, 31
_PRODUCTS = 2**20  # of pixels and weights, that exist at the same time


@lru_cache(maxsize=512)
def bands(length: int, size: int, kernel: Interpolation = "bicubic") -> NDArray[np.int32]:
    """How `size` new pixels of an axis come from `length` old ones: int32 [2, taps, size].

    The first half holds which old pixels a new one takes, the second their weights in units of
    2^-22. It is read-only, as calls share it.
    """
    weigh, reach = _KERNELS[kernel]
    scale = length / size
    stretch = max(scale, 1.0)
    centres = (np.arange(size) + 0.5) * scale
    first = np.maximum(np.trunc(centres - reach * stretch + 0.5), 0)
    end = np.minimum(np.trunc(centres + reach * stretch + 0.5), length)
    places = first + np.arange((end - first).max())[:, None]
    weights = weigh((places - centres + 0.5) / stretch) * (places < end)
    weights /= np.cumsum(weights, 0)[-1]  # one after the other, as the last bit depends on it
    fixed = np.trunc(weights * 2**_PLACES + np.copysign(0.5, weights))
    made = np.stack([np.minimum(places, length - 1), fixed]).astype(np.int32)
    made.flags.writeable = False
    return made


def resampled(pixels: Tensor, across: Tensor, down: Tensor) -> Tensor:
    """Pixels uint8 [channels, height, width], first resampled across, then down.

    Args:
        across: `bands` of the width as a tensor on the device of the pixels; with its last axis
            reversed, the result is mirrored.
        down: `bands` of the height.

    Returns:
        uint8 [channels, new height, new width].
    """
    channels, (_, taps, size) = len(pixels), across.shape
    rows = max(_PRODUCTS // (channels * taps * size), 1)
    wide = [_pass(part, across, -1) for part in pixels.split(rows, 1)]
    return _pass(torch.cat(wide, 1), down, -2)


def _pass(pixels: Tensor, band: Tensor, axis: int) -> Tensor:
    places, weights = band
    taken = pixels.index_select(axis, places.flatten()).unflatten(axis, places.shape)
    products = taken * weights.view(*weights.shape, *[1] * (-1 - axis))
    sums = products.sum(axis - 1, dtype=torch.int32).add_(1 << _PLACES - 1)
    return torch.bitwise_right_shift(sums, _PLACES).clamp_(0, 255).to(torch.uint8)


def _keys(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """The cubic convolution kernel, a = -1/2."""
    x = np.abs(x)
    near = (1.5 * x - 2.5) * x * x + 1
    far = -0.5 * (((x - 5) * x + 8) * x - 4)
    return np.where(x < 1, near, np.where(x < 2, far, 0.0))


def _triangle(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """The linear kernel."""
    return np.where(np.abs(x) < 1, 1 - np.abs(x), 0.0)


# The kernels and how far they reach, to each side.
_KERNELS = {"bicubic": (_keys, 2.0), "bilinear": (_triangle, 1.0)}
