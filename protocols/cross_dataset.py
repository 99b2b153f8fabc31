"""Cross-data-set transfer (Zhou et al., arXiv 2203.05557): learn one source, score other data sets.

All classes of the source are learnt; every target is scored over all of its own names. The average
is over the targets, without the source.
"""

from __future__ import annotations

from collections.abc import Sequence

import gin

from promptbench.errors import UserError
from promptbench.protocol import Column, Leg, Protocol, Source, Target, mean_of, score


@gin.configurable
class CrossDataset(Protocol):
    """Args: source: the data set learnt from. targets: the other data sets scored."""

    title = "Cross-data-set transfer"
    version = 1

    def __init__(self, source: str = "", targets: Sequence[str] = ()) -> None:
        self.source = source
        self.targets = tuple(targets)

    def legs(self, shots: int, only: Sequence[str] | None = None) -> list[Leg]:
        targets = [name for name in only or self.targets if name != self.source]
        if not targets:
            raise UserError(
                f"cross_dataset has no target left: {self.source!r} is its source; "
                "name at least one other data set with --datasets"
            )
        own = Target(self.source, "all", "none")
        others = [Target(name, "all", "dataset") for name in targets]
        return [Leg(Source(self.source, "all", shots), (own, *others))]

    def columns(self, legs: Sequence[Leg]) -> list[Column]:
        columns = []
        for leg in legs:
            source = leg.source.dataset
            own = Column("Source", source, score((source, f"{source}/all")), (source, "test"))
            targets = [
                Column("Target", t.dataset, score((source, t.key)), (t.dataset, "test"))
                for t in leg.targets
                if t.dataset != source
            ]
            average = Column("Target", "Average", mean_of(targets), ("Average", "test"))
            columns += [own, *targets, average]
        return columns
