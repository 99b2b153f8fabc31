"""Shared part: DeKg's term, which keeps learned class features independent of the frozen ones.

DeKg (ICLR 2025, OpenReview 6wOmHdwCC4) adds it to the loss of a method that is held to frozen class
features.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from promptbench.api import ClassSet, Towers, Weight, full_precision
from promptbench.methods._guided import Guided, GuidedMethod


def hsic(x: Tensor, y: Tensor) -> Tensor:
    """The Hilbert-Schmidt independence criterion tr(H K H K') of features [n, d] each, a scalar.

    K = A A^T and K' = B B^T, where A and B are x and y, each divided by its Frobenius norm, and
    H = I - 1/n centres. The factor 1 / (n - 1)^2 is left out. The trace is |A^T H B|_F^2.
    """
    with full_precision(x):
        a, b = (m.float() / m.float().norm() for m in (x, y))
        covariance: Tensor = (a - a.mean(dim=0)).T @ b
        return covariance.square().sum()


class Diverging(GuidedMethod):
    """A guided method whose loss has the term w_hsic * HSIC(learned, frozen features) besides.

    Args:
        w_hsic: weight of the term.
        guided: parameters of the method that it is added to.
    """

    def __init__(
        self, towers: Towers, classes: ClassSet, *, w_hsic: Weight = 6.0, **guided: Any
    ) -> None:
        super().__init__(towers, classes, **guided)
        self.w_hsic = w_hsic

    def learned(self, prepared: Any) -> Tensor:
        """The learned features [n_classes, embed_dim] that the term is of."""
        found: Guided = prepared
        return found.text

    def losses(self, images: Tensor, labels: Tensor, prepared: Any) -> dict[str, Tensor]:
        terms = super().losses(images, labels, prepared)
        return {**terms, "hsic": hsic(self.learned(prepared), prepared.frozen)}

    @property
    def loss_weights(self) -> Mapping[str, float]:
        return {**super().loss_weights, "hsic": self.w_hsic}
