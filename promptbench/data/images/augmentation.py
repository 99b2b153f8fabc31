"""What training does to images, and the way of doing it on the host."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from promptbench.data.images import transforms
from promptbench.data.images.pictures import decoded
from promptbench.data.images.transforms import Crop, Normalisation
from promptbench.data.shards.shards import Item

# Samples and a generator for each -> augmented images float32 [batch, 3, size, size].
Augment = Callable[[Sequence[Item], Sequence[np.random.Generator]], Tensor]


@dataclass(frozen=True)
class Augmentation:
    """Random resized crop with an area of `scale`, flip with probability `flip`, normalisation."""

    target: Normalisation
    scale: tuple[float, float]
    flip: float

    def draw(self, height: int, width: int, rng: np.random.Generator) -> Crop:
        """The crop of an image, which is all that is random."""
        return transforms.draw(height, width, self.scale, self.flip, rng)

    def on_host(self, items: Sequence[Item], rngs: Sequence[np.random.Generator]) -> Tensor:
        """Augmented images, decoded and cropped with Pillow."""
        return torch.stack(
            [
                transforms.for_training(decoded(item), self.target, self.scale, self.flip, rng)
                for item, rng in zip(items, rngs, strict=True)
            ]
        )
