"""A method that keeps what it was called with: how it stood, and all that its losses depend on."""

from __future__ import annotations

from typing import ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from promptbench.core.method import ClassSet, Method, unit
from promptbench.models.towers import Towers


class Step(NamedTuple):
    """What a loss was computed from."""

    features: Tensor
    labels: Tensor
    prepared: Tensor


class Witness(Method):
    """Frozen image features plus a learned shift, scored by cosine."""

    title, paper, paradigm = "witness", "none", "end-to-end"
    calls: ClassVar[list[tuple[str, bool]]] = []
    steps: ClassVar[list[Step]] = []
    start: ClassVar[list[Tensor]] = []

    def __init__(self, towers: Towers, classes: ClassSet) -> None:
        super().__init__(towers, classes)
        self.shift = nn.Parameter(torch.randn(towers.embed_dim) * 0.02)
        self.start[:] = [self.shift.detach().clone()]
        del self.calls[:], self.steps[:]

    def prepare(self, classes: ClassSet) -> Tensor:
        self.calls.append(("prepare", self.training))
        return unit(self.towers.text.features(self.towers.text.tokens(classes.prompts))).detach()

    def features(self, images: Tensor) -> Tensor:
        return unit(self.towers.image.features(self.towers.image.tokens(images)).detach())

    def logits(self, images: Tensor, prepared: Tensor) -> Tensor:
        self.calls.append(("logits", self.training))
        return unit(self.features(images) + self.shift) @ prepared.T

    def losses(self, images: Tensor, labels: Tensor, prepared: Tensor) -> dict[str, Tensor]:
        self.calls.append(("losses", self.training))
        self.steps.append(Step(self.features(images), labels.clone(), prepared))
        return {"ce": self.loss(self.steps[-1], self.shift)}

    @staticmethod
    def loss(step: Step, shift: Tensor) -> Tensor:
        """Cross-entropy of the cosines times 10, float32 []."""
        return F.cross_entropy(10 * unit(step.features + shift) @ step.prepared.T, step.labels)
