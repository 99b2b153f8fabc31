"""Methods that say that their steps are alike and keep their word, and what liars build on."""

from __future__ import annotations

import logging
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from promptbench.core.method import ClassSet
from promptbench.models.towers import Towers
from tests.contract.adversaries import Honest

COUNTED = "tests.contract.steps"


def hidden() -> int:
    """Count the calls, where no attribute of a method leads."""
    counter = logging.getLogger(COUNTED)
    counter.setLevel(counter.level + 1)
    return counter.level


class Steady(Honest):
    """It keeps its word."""

    steady: ClassVar[bool] = True

    def __init__(self, towers: Towers, classes: ClassSet) -> None:
        super().__init__(towers, classes)
        self.register_buffer("average", torch.zeros(3))
        self.count, self.options, self.factor = 0, {"share": 0.5}, torch.tensor(1.0)
        self.average: Tensor

    def losses(self, images: Tensor, labels: Tensor, prepared: Any) -> dict[str, Tensor]:
        ce = F.cross_entropy(self.logits(images, prepared), labels)
        return {"ce": self.changed(ce, images, labels)}

    def changed(self, ce: Tensor, images: Tensor, labels: Tensor) -> Tensor:
        """The loss as this method has it."""
        return ce


class Drawing(Steady):
    """It draws in all the ways that a GPU replays, and has numbers of its own."""

    def changed(self, ce: Tensor, images: Tensor, labels: Tensor) -> Tensor:
        noise = torch.rand(3, device=ce.device) + torch.rand_like(ce) + ce.new_empty(3).normal_()
        kept = F.dropout(noise + torch.zeros(3, device=ce.device), 0.5)
        one_hot = F.one_hot(labels, len(self.classes)).float()
        one_hot[one_hot > 2] = 0.5
        one_hot[0, 0] = 3.5
        rows = one_hot.index_select(0, labels)[labels].sum()
        return ce * (1 + 0.01 * kept.mean()) + 0 * rows * torch.tensor(0.5).to(torch.float64)


class Remembering(Steady):
    """Its first two steps fill what is remembered, as those of PromptSRC do."""

    def changed(self, ce: Tensor, images: Tensor, labels: Tensor) -> Tensor:
        if self.count < 2:
            self.count += 1
            return ce * torch.arange(2)[self.count - 1]
        return ce
