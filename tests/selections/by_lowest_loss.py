"""A third party's protocol: base classes learned and scored, by a rule that is a third party's."""

from __future__ import annotations

from collections.abc import Sequence

from promptbench.api import Column, Leg, Protocol, Source, Target, score

PROMPTBENCH_API = 1


class ByLowestLoss(Protocol):
    """Scores the state with the lowest training loss."""

    title, version, selection = "Base classes by lowest loss", 1, "lowest_loss"
    trains_as = "base_to_new"

    def legs(self, shots: int, only: Sequence[str] | None = None) -> list[Leg]:
        """One leg of each dataset, over its base classes."""
        names = only or ["counts"]
        return [Leg(Source(n, "base", shots), (Target(n, "base", "none"),)) for n in names]

    def columns(self, legs: Sequence[Leg]) -> list[Column]:
        """One column of each dataset."""
        return [
            Column("", leg.source.dataset, score(leg.source, leg.targets[0]), leg.source.shots)
            for leg in legs
        ]
