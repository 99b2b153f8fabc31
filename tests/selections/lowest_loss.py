"""A third party's selection rule: the state of the epoch with the lowest mean training loss."""

from __future__ import annotations

import math

from promptbench.api import Observation, Selection, State

PROMPTBENCH_API = 1


class LowestLoss(Selection):
    """Keeps the first of the states with the lowest total loss so far."""

    title = "lowest training loss"

    def __init__(self) -> None:
        self.lowest = math.inf
        self.kept: State | None = None

    def observe(self, seen: Observation) -> None:
        """Keep the state if no epoch before had so low a loss."""
        if seen.losses["total"] < self.lowest:
            self.lowest, self.kept = seen.losses["total"], seen.state()

    def chosen(self) -> State | None:
        """Return the state that was kept."""
        return self.kept
