"""Shared part: the key-value cache of training images (Tip-Adapter and Tip-Adapter-F)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from promptbench.api import ClassSet, CountOrZero, Method, Towers, Weight, full_precision, unit
from promptbench.methods._feature_space import (
    FrozenText,
    Templates,
    image_features,
    rows_of,
    shown_features,
)

SCALE = 100.0  # of the text logits, whatever the backbone's


@dataclass(frozen=True)
class Prepared:
    """Normalised text features [n_classes, embed_dim]; one-hot values [images, n_classes]."""

    text: Tensor
    values: Tensor


class CacheMethod(Method):
    """Logits 100 cos(f_v, f_t) + ALPHA exp(-BETA (1 - f_v keys^T)) values.

    A training image has a key, its normalised feature, and a one-hot value, its class.

    Args:
        alpha: weight of the cache beside the text.
        beta: how sharply the cache tells images apart.
        passes: augmented passes whose unnormalised features are averaged to the keys; 0: the test
            transform.
        templates: of the text features, each normalised; empty: the template of the dataset.
    """

    open_vocabulary = False
    needs = ()

    def __init__(
        self,
        towers: Towers,
        classes: ClassSet,
        *,
        alpha: Weight = 1.17,
        beta: Weight = 1.0,
        passes: CountOrZero = 10,
        templates: Templates = (),
    ) -> None:
        super().__init__(towers, classes)
        self.passes = passes
        self.frozen_text = FrozenText(towers, templates, normalised=True)
        self.keys = nn.Parameter(torch.zeros(0, towers.embed_dim))
        self.register_buffer("labels", torch.zeros(0, dtype=torch.int64))
        self.register_buffer("scales", torch.tensor([beta, alpha]))
        self.labels: Tensor
        self.scales: Tensor

    @torch.no_grad()
    def fill(self, batches: Iterable[tuple[Tensor, Tensor]]) -> None:
        """Put the training images into the cache."""
        features, labels = shown_features(self, batches)
        self.keys = nn.Parameter(unit(features.mean(dim=0)))
        self.labels = labels

    def affinity(self, features: Tensor) -> Tensor:
        """Cosine of normalised features [batch, embed_dim] and keys, [batch, images]."""
        return features @ self.keys.T

    def prepare(self, classes: ClassSet) -> Prepared:
        rows = rows_of(self, classes)
        values = F.one_hot(self.labels, len(self.classes)).float()
        return Prepared(self.frozen_text(classes), values[:, rows])

    def embed_images(self, images: Tensor) -> Tensor:
        return unit(image_features(self.towers, images))

    def embed_classes(self, classes: ClassSet) -> Tensor:
        return self.frozen_text(classes)

    def logits(self, images: Tensor, prepared: Prepared) -> Tensor:
        features = unit(image_features(self.towers, images))
        with full_precision(features):
            return self.logits_of(features, prepared)

    def logits_of(self, features: Tensor, prepared: Prepared) -> Tensor:
        """Logits [batch, n_classes] of normalised features [batch, embed_dim]."""
        beta, alpha = self.scales.unbind()
        near = cache_logits(self.affinity(features), prepared.values, beta)
        return SCALE * features @ prepared.text.T + alpha * near

    def losses(self, images: Tensor, labels: Tensor, prepared: Prepared) -> dict[str, Tensor]:
        return {"ce": F.cross_entropy(self.logits(images, prepared), labels)}


def cache_logits(affinity: Tensor, values: Tensor, beta: Tensor | float) -> Tensor:
    """exp(-beta (1 - affinity)) values, [batch, n_classes], of affinities [batch, images]."""
    return (-beta * (1 - affinity)).exp() @ values


def accuracies(
    affinity: Tensor,
    values: Tensor,
    text_logits: Tensor,
    labels: Tensor,
    highest: tuple[float, float],
    steps: tuple[int, int] = (200, 20),
) -> tuple[Tensor, Tensor]:
    """Accuracy in percent of labelled images over a grid of scales, and the best pair.

    Args:
        affinity: of the images and the keys, [images, keys].
        values: one-hot, [keys, n_classes].
        text_logits: [images, n_classes].
        labels: int64 [images].
        highest: upper ends of beta and alpha; the grid goes from 0.1 to just below.
        steps: points of beta and alpha.

    Returns:
        Accuracies [beta, alpha], and (beta, alpha) of the first best pair, beta by beta.
    """
    betas, alphas = (
        [0.1 + i * (high - 0.1) / count for i in range(count)]
        for high, count in zip(highest, steps, strict=True)
    )
    found = []
    for beta in betas:
        near = cache_logits(affinity, values, beta)
        right = [((text_logits + a * near).argmax(dim=-1) == labels).sum() for a in alphas]
        found.append(torch.stack(right))
    grid = torch.stack(found)
    row, column = divmod(int(grid.argmax()), len(alphas))
    return grid * (100 / len(labels)), torch.tensor([betas[row], alphas[column]])
