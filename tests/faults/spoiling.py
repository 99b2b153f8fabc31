"""A method that changes the towers, which all methods of a process share, when and how it is asked.

It classifies by frozen features and learns a shift of them, as `noisy` does.
"""

from __future__ import annotations

import os
import signal
from typing import Any, Literal, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from promptbench.core.method import ClassSet, Method, unit
from promptbench.models.towers import Towers

When = Literal["never", "init", "train", "losses", "prepare", "logits"]
How = Literal["data", "hook", "raise", "late", "stop", "code", "merge"]


class Spoiling(Method):
    """Frozen features plus a learned shift."""

    title, paper, paradigm = "spoiling", "none", "end-to-end"

    def __init__(
        self, towers: Towers, classes: ClassSet, *, when: When = "never", how: How = "data"
    ) -> None:
        super().__init__(towers, classes)
        self.when, self.how, self.spoiled = when, how, 0
        self.shift = nn.Parameter(torch.randn(towers.embed_dim) * 0.02)
        self._spoil("init")

    def _spoil(self, now: When) -> None:
        if now != self.when:
            return
        norm: Any = self.towers.model.visual.ln_post
        if self.how == "hook":
            norm.register_forward_hook(lambda module, inputs, output: output.flip(-1))
        elif self.how == "code":
            type(self.towers.image).normed = lambda tower, hidden: hidden
        elif self.how == "merge":  # a low-rank map written into a weight, and taken back
            weight: Any = self.towers.model.visual.transformer.resblocks[0].attn.in_proj_weight
            low_rank = 0.1 * torch.randn(len(weight), 2) @ torch.randn(2, weight.shape[1])
            weight.data += low_rank
            weight.data -= low_rank
        else:
            norm.weight.data.mul_(-1.1)
        self.spoiled += 1
        if self.how == "stop":
            os.kill(os.getpid(), signal.SIGTERM)
        if self.how == "raise" or (self.how == "late" and self.spoiled == 3):
            raise ZeroDivisionError("after the change")

    def train(self, mode: bool = True) -> Self:
        if self.when == "train":  # and taken back by `eval`
            norm: Any = self.towers.model.visual.ln_post
            norm.eps = 0.5 if mode else 1e-5
        return super().train(mode)

    def prepare(self, classes: ClassSet) -> Tensor:
        if not self.training:
            self._spoil("prepare")
        return unit(self.towers.text.features(self.towers.text.tokens(classes.prompts)))

    def logits(self, images: Tensor, prepared: Tensor) -> Tensor:
        if not self.training:
            self._spoil("logits")
        image = self.towers.image
        features = unit(image.features(image.tokens(images)))
        return self.towers.logit_scale * unit(features + self.shift) @ prepared.T

    def losses(self, images: Tensor, labels: Tensor, prepared: Tensor) -> dict[str, Tensor]:
        self._spoil("losses")
        return {"ce": F.cross_entropy(self.logits(images, prepared), labels)}
