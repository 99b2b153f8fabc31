"""A quick method with all that a recipe may ask for: stages, groups, several views, and a gradient
that it makes of two.

Its losses and its gradients draw from the global streams, and what it learns differs by stage.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from promptbench.api import ClassSet, GradientOf, Gradients, Method, Towers, unit


class Staged(Method):
    """A shift of the image features, then one of the text features that starts from it."""

    title, paper, paradigm = "staged", "none", "end-to-end"
    stages, views = 2, 3

    def __init__(self, towers: Towers, classes: ClassSet) -> None:
        super().__init__(towers, classes)
        self.image, self.text = (nn.Parameter(torch.randn(towers.embed_dim) / 50) for _ in "ab")
        self.register_buffer("stage", torch.tensor(0))
        self.stage: Tensor

    def groups(self) -> Mapping[str, Iterable[nn.Parameter]]:
        return {"text side": [self.text]}

    @torch.no_grad()
    def begin_stage(self, number: int) -> None:
        if number == 2:
            self.text.copy_(self.image + torch.randn_like(self.text) / 50)
        self.stage.fill_(number)

    def prepare(self, classes: ClassSet) -> Tensor:
        features = self.towers.text.features(self.towers.text.tokens(classes.prompts))
        return unit(features + (self.text if int(self.stage) == 2 else 0.0))

    def logits(self, images: Tensor, prepared: Tensor) -> Tensor:
        shift = self.image if int(self.stage) == 1 else self.image.detach()
        image = self.towers.image
        features = unit(image.features(image.tokens(images)) + shift)
        return self.towers.logit_scale * features @ prepared.T

    def losses(self, images: Tensor, labels: Tensor, prepared: Any) -> dict[str, Tensor]:
        first, *others = (self.logits(view, prepared) for view in images.unbind(dim=1))
        noisy = first + 0.1 * torch.randn_like(first)
        gap = torch.stack([(first - other).square().mean() for other in others]).mean()
        return {"ce": F.cross_entropy(noisy, labels), "gap": gap}

    def gradients(self, terms: Mapping[str, Tensor], gradient_of: GradientOf) -> Gradients:
        ce, gap = (gradient_of(terms[name]) for name in ("ce", "gap"))
        return {n: g + 0.1 * torch.rand(()) * gap[n].sign() for n, g in ce.items()}
