"""Shared part: logits from the cosine of one image feature and one text feature per class."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from promptbench.api import ClassSet, Deltas, Edits, Method, full_precision, unit


class CosineMethod(Method):
    """Logits logit_scale * cos(f_v, f_t) and cross-entropy.

    A method says what its class features are, and what it does to the image tower.
    """

    @abstractmethod
    def text_features(self, classes: ClassSet) -> Tensor:
        """Normalised text features [n_classes, embed_dim]."""

    def image_edits(self) -> Edits | None:
        """What the method does to the tokens of the image tower; None leaves them as they are."""
        return None

    def image_deltas(self) -> Deltas | None:
        """What the method does to the blocks of the image tower; None leaves them as they are."""
        return None

    def image_features(self, images: Tensor) -> Tensor:
        """Normalised image features [batch, embed_dim]."""
        image = self.towers.image
        edits, deltas = self.image_edits(), self.image_deltas()
        return unit(image.features(image.tokens(images), edits, deltas))

    def embed_images(self, images: Tensor) -> Tensor:
        return self.image_features(images)

    def embed_classes(self, classes: ClassSet) -> Tensor:
        return self.text_features(classes)

    def cosine_logits(self, image: Tensor, text: Tensor) -> Tensor:
        """logit_scale * cos of normalised features, and the backbone's bias of logits where it has
        one, float32 [batch, n_classes]."""
        with full_precision(image):
            logits = self.towers.logit_scale * image @ text.T
            return logits if self.towers.logit_bias is None else logits + self.towers.logit_bias

    def prepare(self, classes: ClassSet) -> Any:
        return self.text_features(classes)

    def logits(self, images: Tensor, prepared: Any) -> Tensor:
        return self.cosine_logits(self.image_features(images), prepared)

    def losses(self, images: Tensor, labels: Tensor, prepared: Any) -> dict[str, Tensor]:
        return {"ce": F.cross_entropy(self.logits(images, prepared), labels)}


def cosine_distance(features: Tensor, frozen: Tensor) -> Tensor:
    """1 - mean cosine of rows of normalised features."""
    return 1 - (features * frozen).sum(dim=-1).mean()
