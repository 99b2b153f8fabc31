"""Averages of what a method learns over its epochs."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from promptbench.isolation.entering import learnables


def gaussian_weights(epochs: int, mean: float, std: float) -> tuple[float, ...]:
    """Weight of each epoch e = 1..epochs, proportional to N(e; mean, std^2), summing to 1.

    Prompt aggregation of PromptSRC (arXiv 2307.06948).
    """
    # Relative to the nearest epoch, so that a mean far outside does not underflow to 0 / 0.
    nearest = min(abs(e - mean) for e in range(1, epochs + 1))
    raw = [
        math.exp(((nearest / std) ** 2 - ((e - mean) / std) ** 2) / 2) for e in range(1, epochs + 1)
    ]
    total = sum(raw)
    return tuple(weight / total for weight in raw)


class EpochAverage:
    """The weighted sum of learnables over epochs; without weights it does nothing."""

    def __init__(self, weights: Sequence[float] = ()) -> None:
        self._weights = tuple(weights)
        self.sums: dict[str, Tensor] = {}

    @torch.no_grad()
    def add(self, epoch: int, module: nn.Module) -> None:
        """Count in the parameters as they are after `epoch` (from 0)."""
        if not self._weights:
            return
        for name, parameter in learnables(module):
            share = self._weights[epoch] * parameter
            self.sums[name] = self.sums[name] + share if name in self.sums else share

    @torch.no_grad()
    def load_into(self, module: nn.Module) -> None:
        """Give the module its average."""
        for name, parameter in learnables(module):
            if name in self.sums:
                parameter.copy_(self.sums[name])
