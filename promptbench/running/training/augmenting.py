"""Where a run augments its training images: with Pillow on the host, or on the GPU.

On the GPU it is crops and flips that are made; other views come from the host wherever it is.
"""

from __future__ import annotations

import os
from functools import partial

import torch

from promptbench.core.recipe import Recipe, View
from promptbench.data.images import transforms
from promptbench.data.images.augmentation import Augment, Augmentation, Views, on_host
from promptbench.data.images.resident import OnDevice
from promptbench.models.towers import memory
from promptbench.running.lab import Lab
from promptbench.support.transfer import sent

_SHARE = 0.25  # of the memory that is free when a training starts, for decoded images


def augment_of(recipe: Recipe, lab: Lab) -> Augment:
    """What a recipe makes of its images, one view of each or several."""
    makers = {
        view: crops_of(recipe, lab) if view == "crop" else _whole(view, recipe, lab)
        for view in recipe.views
    }
    parts = tuple(makers[view] for view in recipe.views)
    return parts[0] if len(parts) == 1 else Views(parts)


def crops_of(recipe: Recipe, lab: Lab) -> Augment:
    """The crops of a recipe in the way that the lab asks for; the pixels are the same.

    `auto` takes the GPU if there is one: it has what the host lacks beside it, time. A CPU
    resamples with Pillow about three times as fast as with tensors (benchmarks/README.md).
    """
    given = Augmentation(lab.backbone.preprocess, recipe.crop_scale, recipe.flip)
    device = lab.compute.device
    if not _on_device(lab):
        return given.on_host
    return OnDevice(given, device, int(_SHARE * _free(device)))


def _whole(view: View, recipe: Recipe, lab: Lab) -> Augment:
    """A view that is not a crop: always made on the host, and sent to where crops are made."""
    target = lab.backbone.preprocess
    if view == "plain":
        made = partial(on_host, lambda image, _: transforms.for_testing(image, target))
    else:
        operations, magnitude = recipe.randaugment
        made = partial(
            on_host,
            lambda image, rng: transforms.for_randaugment(
                image, target, operations, magnitude, rng
            ),
        )
    if "crop" not in recipe.views or not _on_device(lab):
        return made
    device = lab.compute.device
    return lambda items, rngs: sent(made(items, rngs), device)


def _on_device(lab: Lab) -> bool:
    return lab.augment == "device" or (lab.augment == "auto" and lab.compute.device.type == "cuda")


def _free(device: torch.device) -> int:
    """Free bytes of a device; 0 where the operating system does not say."""
    if device.type == "cuda":
        return memory.free(device)
    if "SC_AVPHYS_PAGES" not in os.sysconf_names:
        return 0
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
