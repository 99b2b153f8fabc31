"""Methods built without memory behind them, for how many numbers they learn."""

from __future__ import annotations

import functools
import json
import math

import torch

from promptbench.core.class_list import ClassSet
from promptbench.leaderboard.checking import known
from promptbench.models.backbones import architecture, build, load_tokenizer
from promptbench.models.towers import Towers


@functools.cache
def learned_parameters(
    method: str, backbone: str, settings: str, classes: ClassSet, images: int
) -> int:
    """How many numbers a method learns, found by building it without memory behind it.

    `settings`: its parameters as JSON. What has no rows yet gets one for each of its `images`.
    """
    cls = known.method(method).cls
    with torch.device("meta"):
        built = cls(_towers(backbone), classes, **json.loads(settings))
    learned = [p for p in built.parameters() if p.requires_grad]
    return sum(p.numel() or images * math.prod(p.shape[1:]) for p in learned)


@functools.cache
def _towers(backbone: str) -> Towers:
    """The shape of a backbone."""
    with torch.device("meta"):
        model = build(backbone, architecture(backbone))
    return Towers(model, load_tokenizer(backbone))
