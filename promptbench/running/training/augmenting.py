"""Where a run augments its training images: with Pillow on the host, or on the GPU.

Either way a training decodes each image once, as far as the memory has room for them.
On the GPU it is crops and flips that are made; other views come from the host wherever it is.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from PIL import Image

from promptbench.core.recipe import Recipe, View
from promptbench.data.images import transforms
from promptbench.data.images.augmentation import Augment, Augmentation, OnHost, Views
from promptbench.data.images.kept import Kept, pictures
from promptbench.data.images.resident import OnDevice, Sent
from promptbench.data.images.transforms import Levels
from promptbench.models.towers import memory
from promptbench.running.lab import Lab
from promptbench.support import allotted

_SHARE = 0.25  # of the memory that is free when a training starts, for decoded images


def augment_of(recipe: Recipe, lab: Lab) -> Augment:
    """What a recipe makes of its images, one view of each or several."""
    picture = _pictures(lab)
    makers = {
        view: _crops(recipe, lab, picture) if view == "crop" else _whole(view, recipe, lab, picture)
        for view in recipe.views
    }
    parts = tuple(makers[view] for view in recipe.views)
    return parts[0] if len(parts) == 1 else Views(parts)


def crops_of(recipe: Recipe, lab: Lab) -> Augment:
    """The crops of a recipe in the way that the lab asks for; the pixels are the same.

    `auto` takes the GPU if there is one: it has what the host lacks beside it, time. A CPU
    resamples with Pillow about three times as fast as with tensors (benchmarks/README.md).
    """
    return _crops(recipe, lab, _pictures(lab))


def _crops(recipe: Recipe, lab: Lab, picture: Kept[Image.Image]) -> Augment:
    given = Augmentation(lab.backbone.preprocess, recipe.crop_scale, recipe.flip)
    if not _on_device(lab):
        return replace(given.on_host, picture=picture)
    return OnDevice(given, lab.compute.device, int(_SHARE * _free(lab.compute.device)))


def _whole(view: View, recipe: Recipe, lab: Lab, picture: Kept[Image.Image]) -> Augment:
    """A view that is not a crop: always made on the host, and sent to where crops are made."""
    target = lab.backbone.preprocess

    def plain(image: Image.Image, _: np.random.Generator) -> Levels:
        return transforms.for_testing(image, target)

    def randomised(image: Image.Image, rng: np.random.Generator) -> Levels:
        return transforms.for_randaugment(image, target, *recipe.randaugment, rng)

    made = OnHost(plain if view == "plain" else randomised, target, picture)
    if "crop" not in recipe.views or not _on_device(lab):
        return made
    return Sent(made, lab.compute.device)


def _pictures(lab: Lab) -> Kept[Image.Image]:
    """Images that a training decodes once, while they fit this process's share of the memory."""
    return pictures(room_for_images(lab))


def room_for_images(lab: Lab) -> int:
    """Bytes of memory for images that stay decoded, of this process's share of what is free."""
    return int(_SHARE * allotted.memory() / lab.processes)


def _on_device(lab: Lab) -> bool:
    return lab.augment == "device" or (lab.augment == "auto" and lab.compute.device.type == "cuda")


def _free(device: torch.device) -> int:
    """Free bytes of a device; 0 where the operating system does not say."""
    return memory.free(device) if device.type == "cuda" else allotted.memory()
