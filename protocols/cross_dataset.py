"""Cross-dataset transfer (Zhou et al., arXiv 2203.05557): learn one source, score other datasets.

All classes of the source are learned; every target is scored over all of its own names. The average
is over the targets, without the source.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from promptbench.api import (
    Column,
    Leg,
    Protocol,
    Shift,
    Source,
    Target,
    UserError,
    average_title,
    mean_of,
    score,
)


class CrossDataset(Protocol):
    """Args: source: the dataset learned from. targets: the other datasets scored."""

    title = "Cross-dataset transfer"
    version = 1
    shift: ClassVar[Shift] = "dataset"

    def __init__(self, source: str = "", targets: Sequence[str] = ()) -> None:
        self.source = source
        self.targets = tuple(targets)

    def legs(self, shots: int, only: Sequence[str] | None = None) -> list[Leg]:
        targets = [name for name in only or self.targets if name != self.source]
        if not targets:
            raise UserError(
                f"{self.title.lower()} has no target left: {self.source!r} is its source; "
                "name at least one other dataset with --datasets"
            )
        own = Target(self.source, "all", "none")
        others = [Target(name, "all", self.shift) for name in targets]
        return [Leg(Source(self.source, "all", shots), (own, *others))]

    def columns(self, legs: Sequence[Leg]) -> list[Column]:
        return [column for leg in legs for column in self._of_leg(leg)]

    def _of_leg(self, leg: Leg) -> list[Column]:
        source = leg.source
        own, targets = (
            [
                Column(group, t.dataset, score(source, t), source.shots, (t.dataset, "test"))
                for t in leg.targets
                if (t.dataset == source.dataset) == (group == "Source")
            ]
            for group in ("Source", "Target")
        )
        title = average_title((column.title for column in targets), self.targets)
        printed = (title, "test") if title == "Average" else None
        average = Column(
            "Target", title, mean_of(targets), source.shots, printed, members=tuple(targets)
        )
        return [*own, *targets, average]
