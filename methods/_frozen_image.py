"""Shared part: methods that leave the image tower alone and learn, if anything, class features."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from promptbench.method import Method, unit


class FrozenImageMethod(Method):
    """Logits logit_scale * cos(f_v, f_t) and cross-entropy.

    `prepare` returns the normalised text features [n_classes, embed_dim].
    """

    def logits(self, images: Tensor, prepared: Tensor) -> Tensor:
        image = self.towers.image
        features = unit(image.features(image.tokens(images)))
        return self.towers.logit_scale * features @ prepared.T

    def losses(self, images: Tensor, labels: Tensor, prepared: Tensor) -> dict[str, Tensor]:
        return {"ce": F.cross_entropy(self.logits(images, prepared), labels)}
