"""`keeping`, as a solver: nothing is learned by steps."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from promptbench.core.method import ClassSet, CountOrZero
from promptbench.models.towers import Towers
from tests.running.training import keeping


class Solving(keeping.Keeping):
    title = "solving"
    start_from = None  # type: ignore[assignment]

    def __init__(self, towers: Towers, classes: ClassSet, *, passes: CountOrZero = 2) -> None:
        super().__init__(towers, classes, passes=passes)

    @torch.no_grad()
    def solve(self, batches: Iterable[tuple[Tensor, Tensor]]) -> None:
        keeping.Keeping.start_from(self, batches)
