"""Norms of a method's tokens while it learns, over a few of its training images.

The training is left as it is. What is looked at is a copy that was made before the first step and
takes the parameters of the moment, so that nothing a method remembers in evaluation reaches the one
that learns. Random streams and compiled code are not touched either.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from typing import TypeVar

import torch
from torch import Tensor

from promptbench.core.method import ClassSet, Method
from promptbench.data.loader import FewShotSet
from promptbench.errors import one_line
from promptbench.isolation.entering import enter, state_of
from promptbench.running.lab import Lab
from promptbench.running.lab.compute import Compute
from promptbench.running.observing.norms import NormSums
from promptbench.running.observing.passes import blocks, passes, prepared
from promptbench.support.seeding import seeded

IMAGES = 32
_AT_ONCE = 8  # images whose activations of all blocks are held together
_NAMES = {"cls_norm": "cls", "prompt_norm": "prompt", "ratio": "ratio"}

Norms = dict[str, float]
A = TypeVar("A")


class NormWatch:
    """Looks at a method after each epoch of its training, until that fails once."""

    def __init__(
        self, method: Method, classes: ClassSet, shots: FewShotSet, lab: Lab, label: str
    ) -> None:
        self._method, self._classes = method, classes
        self._lab, self._label = lab, label
        self._subject = self._attempt(partial(_subject, method, shots, lab))

    def norms(self, epoch: int) -> Norms:
        """`token_norms` of the parameters after an epoch; empty if they cannot be distinguished."""
        if self._subject is None:
            return {}
        found = self._attempt(partial(self._look, *self._subject, epoch))
        if found is None:
            self._subject = None
        return found or {}

    def _look(self, start: Method, images: Tensor, epoch: int) -> Norms:
        compute, towers = self._lab.compute, self._method.towers
        seen = enter(copy.deepcopy, start)
        enter(seen.load_state_dict, state_of(self._method), strict=True)
        enter(seen.eval)
        with seeded(0, "watch", epoch), towers.uncompiled():
            return token_norms(seen, self._classes, images.to(compute.device), compute)

    def _attempt(self, action: Callable[[], A]) -> A | None:
        try:
            return action()
        except Exception as error:  # a plugin may raise anything; its training goes on
            why = one_line(error)
            self._lab.listener.message(f"{self._label}: norms of tokens are left out: {why}")
            return None


def _subject(method: Method, shots: FewShotSet, lab: Lab) -> tuple[Method, Tensor]:
    """A copy of the method, and the images it is watched on."""
    batches = spread(shots, IMAGES).plain(lab.backbone.preprocess, lab.workers)
    return enter(copy.deepcopy, method), torch.cat([batch.images for batch in batches])


def token_norms(method: Method, classes: ClassSet, images: Tensor, compute: Compute) -> Norms:
    """Mean norms at the output of each block that has prompt tokens; empty without any, and on
    backbones whose image tower has no class token to compare them with.

    Args:
        images: normalised, [n, 3, height, width], on the device of `compute`.

    Returns:
        "cls/block06", "prompt/block06" and "ratio/block06" (prompt over CLS), and so for the other
        blocks (docs/analysis.md, "Norms").

    Raises:
        UserError: edits after which it is unknown which tokens are prompts.
    """
    sums, tower = NormSums(), method.towers.image
    if "image_cls" not in tower.offers:
        return {}
    with torch.inference_mode():
        ready = prepared(method, classes, compute)
        with compute.autocast():
            for few in images.split(_AT_ONCE):
                for each in passes(method, few, ready, compute):
                    for seen in blocks(each, tower) if each.changed else ():
                        sums.add(seen)
    return {
        f"{_NAMES[quantity]}/block{block:02d}": value
        for stage, block, quantity, value in sums.numbers()
        if stage == "output" and quantity in _NAMES
    }


def spread(shots: FewShotSet, most: int) -> FewShotSet:
    """At most `most` of the images, at even distances; since classes lie together, of all."""
    count = min(most, len(shots))
    items = tuple(shots.items[i * len(shots) // count] for i in range(count))
    return FewShotSet(items, shots.class_names)
