"""Few-shot classification (Zhou et al., arXiv 2109.01134): learn all classes from a few images.

Each dataset is learned from 1, 2, 4, 8 and 16 images per class and scored on its own test set.
Subsets of different sizes are drawn again from the seed; they need not be nested.
"""

from __future__ import annotations

from collections.abc import Sequence

from promptbench.api import (
    Column,
    Leg,
    Protocol,
    Source,
    Target,
    average_title,
    counted,
    mean_of,
    score,
)


class FewShot(Protocol):
    """Args: datasets: the datasets. shots: the numbers of images per class, one leg each."""

    title = "Few-shot classification"
    version = 1
    shots_together = True

    def __init__(
        self, datasets: Sequence[str] = (), shots: Sequence[int] = (1, 2, 4, 8, 16)
    ) -> None:
        self.datasets = tuple(datasets)
        self.shots = tuple(shots)

    def shot_counts(self, usual: int) -> tuple[int, ...]:
        return self.shots

    def legs(self, shots: int, only: Sequence[str] | None = None) -> list[Leg]:
        return [
            Leg(Source(name, "all", shots), (Target(name, "all", "none"),))
            for name in only or self.datasets
        ]

    def columns(self, legs: Sequence[Leg]) -> list[Column]:
        counts = sorted({leg.source.shots for leg in legs})
        by_count = [[leg for leg in legs if leg.source.shots == count] for count in counts]
        return [column for same in by_count for column in self._of_count(same)]

    def _of_count(self, legs: Sequence[Leg]) -> list[Column]:
        shots = legs[0].source.shots
        group = counted(shots, "shot")
        single = [
            Column(group, t.dataset, score(leg.source, t), shots, (t.dataset, "test"))
            for leg in legs
            for t in leg.targets
        ]
        title = average_title((column.title for column in single), self.datasets)
        printed = (title, "test") if title == "Average" else None
        return [
            *single,
            Column(group, title, mean_of(single), shots, printed, members=tuple(single)),
        ]
