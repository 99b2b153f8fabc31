"""Levels of 8 bits, normalised: on a GPU by a table of what each of the 256 becomes in its channel.

Images stay bytes until they are where they are computed on: a quarter of what float32 would send.
To look a value up is exact on any device, where a division need not be.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from promptbench.data.images.transforms import Levels, Normalisation
from promptbench.support.transfer import sent

_WHITE = np.float32(255)
_AT_ONCE = 2**23  # levels whose places, of 8 bytes each, exist at the same time on a GPU


def values_of(target: Normalisation) -> Tensor:
    """What each level of a channel becomes when it is normalised: float32 [3, 256].

    The operations and their order are torchvision's, so that every bit is.
    """
    values = np.broadcast_to(np.arange(256, dtype=np.float32), (3, 256)) / _WHITE
    values -= _floats(target.mean)[:, None]
    values /= _floats(target.std)[:, None]
    return torch.from_numpy(values)


def stacked(images: Sequence[Levels]) -> Tensor:
    """Images of one size as a batch, uint8 [n, 3, height, width], in this order in memory too."""
    made = np.empty((len(images), *images[0].shape), np.uint8)
    for place, image in zip(made, images, strict=True):
        place[...] = image
    return torch.from_numpy(made)


def normalised(levels: Tensor, target: Normalisation) -> Tensor:
    """Levels uint8 [..., 3, height, width], normalised where they are: float32, of their shape."""
    if levels.device.type == "cpu":
        return _on_host(levels, target)
    values = _values_on(levels.device, target)
    made = torch.empty(levels.shape, dtype=values.dtype, device=levels.device)
    first = 256 * torch.arange(3, device=levels.device)[:, None, None]
    few = max(_AT_ONCE // max(levels[:1].numel(), 1), 1)
    for some, place in zip(levels.split(few), made.split(few), strict=True):
        torch.take(values, some + first, out=place)
    return made


@functools.lru_cache(maxsize=16)
def _values_on(device: torch.device, target: Normalisation) -> Tensor:
    return sent(values_of(target), device)


def _on_host(levels: Tensor, target: Normalisation) -> Tensor:
    """By the operations of `values_of`, a plane at a time, which stays in the processor's cache:
    faster there than looking levels up."""
    made = np.empty(levels.shape, np.float32)  # from large pages, where there are any
    planes = (-1, *levels.shape[-2:])
    channels = itertools.cycle(zip(_floats(target.mean), _floats(target.std), strict=True))
    given, filled = levels.numpy().reshape(planes), made.reshape(planes)
    for plane, place, (mean, std) in zip(given, filled, channels, strict=False):
        place[...] = plane
        place /= _WHITE
        place -= mean
        place /= std
    return torch.from_numpy(made)


def _floats(numbers: Sequence[float]) -> NDArray[np.float32]:
    return np.array(numbers, np.float32)
