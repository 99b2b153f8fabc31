"""Augmentation on the device, from decoded images that stay there after their first use.

The crops are those that the host would draw, and every pixel is the one that it would make: which
way a training takes changes only its speed.
"""

from __future__ import annotations

from collections.abc import Sequence
from threading import Lock

import numpy as np
import torch
from torch import Tensor

from promptbench.data.images import resampling, transforms
from promptbench.data.images.augmentation import Augmentation
from promptbench.data.images.pictures import decoded
from promptbench.data.images.transforms import Crop
from promptbench.data.shards.shards import Item
from promptbench.support.transfer import sent, sent_together


class OnDevice:
    """An augmentation whose batches are made on `device`; it may be called from several threads.

    Decoding stays on the host. At most `room` bytes of decoded images are kept; one for which
    there is no room is decoded and sent each time again. On a GPU all work goes to the current
    stream, in line with the steps that use the batches, so that nothing has to wait explicitly.
    """

    def __init__(self, given: Augmentation, device: torch.device, room: int) -> None:
        self._given, self._device, self._room = given, device, room
        self._kept: dict[tuple[str, str], Tensor] = {}
        self._lock = Lock()
        self._values = sent(transforms.normalised_values(given.target), device)

    @property
    def kept_bytes(self) -> int:
        """Bytes of the decoded images that are kept."""
        return sum(image.nbytes for image in self._kept.values())

    def __call__(self, items: Sequence[Item], rngs: Sequence[np.random.Generator]) -> Tensor:
        """Augmented images float32 [batch, 3, size, size] on the device, a generator for each."""
        images = [self._image(item) for item in items]
        crops = [
            self._given.draw(image.shape[1], image.shape[2], rng)
            for image, rng in zip(images, rngs, strict=True)
        ]
        levels = torch.stack(self._resampled(images, crops))
        first = 256 * torch.arange(3, device=self._device)[:, None, None]
        return self._values.take(levels + first)

    def _resampled(self, images: Sequence[Tensor], crops: Sequence[Crop]) -> list[Tensor]:
        """The crops' pixels, uint8 [3, size, size] each."""
        size, kernel = self._given.target.size, self._given.target.interpolation
        across = [
            resampling.bands(crop.width, size, kernel)[..., :: -1 if crop.mirrored else 1]
            for crop in crops
        ]
        down = [resampling.bands(crop.height, size, kernel) for crop in crops]
        bands = sent_together([*across, *down], self._device)
        return [
            resampling.resampled(
                image[:, crop.top : crop.bottom, crop.left : crop.right], horizontal, vertical
            )
            for image, crop, horizontal, vertical in zip(
                images, crops, bands[: len(crops)], bands[len(crops) :], strict=True
            )
        ]

    def _image(self, item: Item) -> Tensor:
        """A decoded image on the device: uint8 [3, height, width]."""
        name = (item.shard, item.key)
        if name in self._kept:
            return self._kept[name]
        pixels = np.asarray(decoded(item)).transpose(2, 0, 1).copy()
        image = sent(torch.from_numpy(pixels), self._device)
        with self._lock:
            if name not in self._kept and image.nbytes <= self._room:
                self._kept[name] = image
                self._room -= image.nbytes
        return image
