"""Levels of 8 bits, normalised by a table of what each of the 256 becomes in its channel.

Images stay bytes until they are where they are computed on: a quarter of what float32 would send.
To look a value up is exact on any device, where a division need not be.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from promptbench.data.images.transforms import Levels, Normalisation

_AT_ONCE = 2**23  # levels whose places, of 8 bytes each, exist at the same time on a GPU


def values_of(target: Normalisation) -> Tensor:
    """What each level of a channel becomes when it is normalised: float32 [3, 256].

    The operations and their order are torchvision's, so that every bit is.
    """
    values = np.broadcast_to(np.arange(256, dtype=np.float32), (3, 256)) / np.float32(255)
    values -= np.array(target.mean, np.float32)[:, None]
    values /= np.array(target.std, np.float32)[:, None]
    return torch.from_numpy(values)


def stacked(images: Sequence[Levels]) -> Tensor:
    """Images of one size as a batch, uint8 [n, 3, height, width], in this order in memory too."""
    made = np.empty((len(images), *images[0].shape), np.uint8)
    for place, image in zip(made, images, strict=True):
        place[...] = image
    return torch.from_numpy(made)


def normalised(levels: Tensor, values: Tensor) -> Tensor:
    """Levels uint8 [..., 3, height, width] by a table on their device: float32, of their shape."""
    if levels.device.type == "cpu":
        return _on_host(levels, values)
    made = torch.empty(levels.shape, dtype=values.dtype, device=levels.device)
    first = 256 * torch.arange(3, device=levels.device)[:, None, None]
    few = max(_AT_ONCE // max(levels[:1].numel(), 1), 1)
    for some, place in zip(levels.split(few), made.split(few), strict=True):
        torch.take(values, some + first, out=place)
    return made


def _on_host(levels: Tensor, values: Tensor) -> Tensor:
    """In numpy, plane by plane: torch's own look-ups take numbers of 4 or 8 bytes for places."""
    made = np.empty(levels.shape, np.float32)  # from large pages, where there are any
    whole = (-1, *levels.shape[-3:])
    given, filled = levels.numpy().reshape(whole), made.reshape(whole)
    table = values.numpy()
    for image, place in zip(given, filled, strict=True):
        for channel in range(3):
            np.take(table[channel], image[channel], out=place[channel], mode="clip")
    return torch.from_numpy(made)
