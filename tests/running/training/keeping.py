"""Methods that are shown all training images, and keep what they have seen."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from promptbench.core.method import ClassSet, CountOrZero, Method, full_precision, unit
from promptbench.models.towers import Towers


class Keeping(Method):
    """Prototypes of the classes that were trained on, text for all others; a row for each image."""

    title, paper, paradigm = "keeping", "none", "selective"
    seen: ClassVar[list[Tensor]] = []

    def __init__(self, towers: Towers, classes: ClassSet, *, passes: CountOrZero = 0) -> None:
        super().__init__(towers, classes)
        self.passes = passes
        self.rows = nn.Parameter(torch.zeros(0, towers.embed_dim))
        self.register_buffer("labels", torch.zeros(0, dtype=torch.int64))
        self.labels: Tensor

    def features(self, images: Tensor) -> Tensor:
        return unit(self.towers.image.features(self.towers.image.tokens(images)))

    @torch.no_grad()
    def start_from(self, batches: Iterable[tuple[Tensor, Tensor]]) -> None:
        shown = [(images.clone(), labels) for images, labels in batches]
        self.seen.append(torch.cat([images for images, _ in shown]))
        features = torch.cat([self.features(images) for images, _ in shown])
        features = features.unflatten(0, (max(self.passes, 1), -1))
        self.rows = nn.Parameter(features.mean(dim=0) + 1e-3 * torch.randn(features.shape[1:]))
        self.labels = torch.cat([labels for _, labels in shown])[: features.shape[1]]

    def prepare(self, classes: ClassSet) -> Tensor:
        text = unit(self.towers.text.features(self.towers.text.tokens(classes.prompts)))
        sums = F.one_hot(self.labels, len(self.classes)).float().T @ self.rows
        own = dict(zip(self.classes.names, unit(sums), strict=True))
        pairs = zip(classes.names, text, strict=True)
        return torch.stack([own.get(name, feature) for name, feature in pairs])

    def logits(self, images: Tensor, prepared: Tensor) -> Tensor:
        features = self.features(images)
        with full_precision(features):
            return 10 * features @ prepared.T

    def losses(self, images: Tensor, labels: Tensor, prepared: Tensor) -> dict[str, Tensor]:
        return {"ce": F.cross_entropy(self.logits(images, prepared), labels)}
