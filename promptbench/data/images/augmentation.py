"""What training does to images, and the way of doing it on the host."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from promptbench.data.images import transforms
from promptbench.data.images.levels import stacked
from promptbench.data.images.pictures import decoded
from promptbench.data.images.transforms import Crop, Levels, Normalisation
from promptbench.data.shards.shards import Item

# A picture and its generator -> levels uint8 [3, size, size].
OfPicture = Callable[[Image.Image, np.random.Generator], Levels]


class Augment(Protocol):
    """Samples and a generator for each -> augmented images, levels uint8 [batch, 3, size, size].

    `target` says how they are normalised.
    """

    @property
    def target(self) -> Normalisation: ...

    def __call__(self, items: Sequence[Item], rngs: Sequence[np.random.Generator]) -> Tensor: ...


@dataclass(frozen=True)
class Augmentation:
    """Random resized crop with an area of `scale`, flip with probability `flip`, normalisation."""

    target: Normalisation
    scale: tuple[float, float]
    flip: float

    def draw(self, height: int, width: int, rng: np.random.Generator) -> Crop:
        """The crop of an image, which is all that is random."""
        return transforms.draw(height, width, self.scale, self.flip, rng)

    def of_picture(self, image: Image.Image, rng: np.random.Generator) -> Levels:
        """One augmented image."""
        return transforms.for_training(image, self.target, self.scale, self.flip, rng)

    @property
    def on_host(self) -> OnHost:
        """The way of decoding and cropping with Pillow."""
        return OnHost(self.of_picture, self.target)


@dataclass(frozen=True)
class OnHost:
    """Images, each made by a function of one picture; `picture` decodes it, or has it decoded."""

    of_picture: OfPicture
    target: Normalisation
    picture: Callable[[Item], Image.Image] = decoded

    def __call__(self, items: Sequence[Item], rngs: Sequence[np.random.Generator]) -> Tensor:
        pairs = zip(items, rngs, strict=True)
        return stacked([self.of_picture(self.picture(item), rng) for item, rng in pairs])


@dataclass(frozen=True)
class Views:
    """Several augmentations of the same images, side by side: [batch, views, 3, size, size].

    The first draws what it would draw if there were no other; each has a stream of its own.
    """

    parts: tuple[Augment, ...]

    @property
    def target(self) -> Normalisation:
        """That of the first, as of all."""
        return self.parts[0].target

    def __call__(self, items: Sequence[Item], rngs: Sequence[np.random.Generator]) -> Tensor:
        streams = [(rng, *rng.spawn(len(self.parts) - 1)) for rng in rngs]
        of_views = zip(*streams, strict=True)
        made = [part(items, own) for part, own in zip(self.parts, of_views, strict=True)]
        return torch.stack(made, dim=1)
