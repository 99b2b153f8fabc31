"""Where a run augments its training images: with Pillow on the host, or on the GPU."""

from __future__ import annotations

import os

import torch

from promptbench.core.recipe import Recipe
from promptbench.data.images.augmentation import Augment, Augmentation
from promptbench.data.images.resident import OnDevice
from promptbench.models.towers import memory
from promptbench.running.lab import Lab

_SHARE = 0.25  # of the memory that is free when a training starts, for decoded images


def augment_of(recipe: Recipe, lab: Lab) -> Augment:
    """The augmentation of a recipe in the way that the lab asks for; the pixels are the same.

    `auto` takes the GPU if there is one: it has what the host lacks beside it, time. A CPU
    resamples with Pillow about three times as fast as with tensors (benchmarks/README.md).
    """
    given = Augmentation(lab.backbone.preprocess, recipe.crop_scale, recipe.flip)
    device = lab.compute.device
    if lab.augment == "host" or (lab.augment == "auto" and device.type != "cuda"):
        return given.on_host
    return OnDevice(given, device, int(_SHARE * _free(device)))


def _free(device: torch.device) -> int:
    """Free bytes of a device; 0 where the operating system does not say."""
    if device.type == "cuda":
        return memory.free(device)
    if "SC_AVPHYS_PAGES" not in os.sysconf_names:
        return 0
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
