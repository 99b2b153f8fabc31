"""What training does to images, and the way of doing it on the host."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from promptbench.data.images import transforms
from promptbench.data.images.pictures import decoded
from promptbench.data.images.transforms import Crop, Normalisation
from promptbench.data.shards.shards import Item

# Samples and a generator for each -> augmented images float32 [batch, 3, size, size].
Augment = Callable[[Sequence[Item], Sequence[np.random.Generator]], Tensor]
# A picture and its generator -> the image float32 [3, size, size].
OfPicture = Callable[[Image.Image, np.random.Generator], Tensor]


@dataclass(frozen=True)
class Augmentation:
    """Random resized crop with an area of `scale`, flip with probability `flip`, normalisation."""

    target: Normalisation
    scale: tuple[float, float]
    flip: float

    def draw(self, height: int, width: int, rng: np.random.Generator) -> Crop:
        """The crop of an image, which is all that is random."""
        return transforms.draw(height, width, self.scale, self.flip, rng)

    def of_picture(self, image: Image.Image, rng: np.random.Generator) -> Tensor:
        """One augmented image."""
        return transforms.for_training(image, self.target, self.scale, self.flip, rng)

    def on_host(self, items: Sequence[Item], rngs: Sequence[np.random.Generator]) -> Tensor:
        """Augmented images, decoded and cropped with Pillow."""
        return on_host(self.of_picture, items, rngs)


def on_host(
    of_picture: OfPicture, items: Sequence[Item], rngs: Sequence[np.random.Generator]
) -> Tensor:
    """Images, each decoded with Pillow and made by a function of one picture."""
    made = [of_picture(decoded(item), rng) for item, rng in zip(items, rngs, strict=True)]
    return torch.stack(made)


@dataclass(frozen=True)
class Views:
    """Several augmentations of the same images, side by side: [batch, views, 3, size, size].

    The first draws what it would draw if there were no other; each has a stream of its own.
    """

    parts: tuple[Augment, ...]

    def __call__(self, items: Sequence[Item], rngs: Sequence[np.random.Generator]) -> Tensor:
        streams = [(rng, *rng.spawn(len(self.parts) - 1)) for rng in rngs]
        of_views = zip(*streams, strict=True)
        made = [part(items, own) for part, own in zip(self.parts, of_views, strict=True)]
        return torch.stack(made, dim=1)
