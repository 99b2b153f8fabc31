"""Augmentation on the device, from decoded images that stay there after their first use.

The crops are those that the host would draw, and every pixel is the one that it would make: which
way a training takes changes only its speed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from promptbench.data.images import resampling
from promptbench.data.images.augmentation import Augment, Augmentation
from promptbench.data.images.kept import Kept
from promptbench.data.images.pictures import decoded
from promptbench.data.images.transforms import Crop, Normalisation
from promptbench.data.shards.shards import Item
from promptbench.support.transfer import sent, sent_together


@dataclass(frozen=True)
class Sent:
    """Images that another augmentation makes on the host, on `device`."""

    made: Augment
    device: torch.device

    @property
    def target(self) -> Normalisation:
        """How the images are normalised."""
        return self.made.target

    def __call__(self, items: Sequence[Item], rngs: Sequence[np.random.Generator]) -> Tensor:
        """Augmented levels uint8 [batch, 3, size, size] on the device, a generator for each."""
        return sent(self.made(items, rngs), self.device)


class OnDevice:
    """An augmentation whose batches are made on `device`; it may be called from several threads.

    Decoding stays on the host. At most `room` bytes of decoded images are kept. On a GPU all work
    goes to the current stream, in line with the steps that use the batches, so that nothing has to
    wait explicitly.
    """

    def __init__(self, given: Augmentation, device: torch.device, room: int) -> None:
        self._given, self._device = given, device
        self._image = Kept(self._sent, lambda image: image.nbytes, room)

    @property
    def target(self) -> Normalisation:
        """How the images are normalised."""
        return self._given.target

    @property
    def kept_bytes(self) -> int:
        """Bytes of the decoded images that are kept."""
        return self._image.kept_bytes

    def __call__(self, items: Sequence[Item], rngs: Sequence[np.random.Generator]) -> Tensor:
        """Augmented levels uint8 [batch, 3, size, size] on the device, a generator for each."""
        images = [self._image(item) for item in items]
        crops = [
            self._given.draw(image.shape[1], image.shape[2], rng)
            for image, rng in zip(images, rngs, strict=True)
        ]
        return torch.stack(self._resampled(images, crops))

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

    def _sent(self, item: Item) -> Tensor:
        """A decoded image on the device: uint8 [3, height, width]."""
        pixels = np.asarray(decoded(item)).transpose(2, 0, 1).copy()
        return sent(torch.from_numpy(pixels), self._device)
