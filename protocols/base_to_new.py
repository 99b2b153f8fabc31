"""Base-to-new generalisation (Zhou et al., arXiv 2203.05557): learn the base half, score both.

The first ceil(n/2) labels are base, the others new; labels are renumbered in each half, and each
half is scored over its own names. Few-shot sampling comes before the split.
"""

from __future__ import annotations

from collections.abc import Sequence

import gin

from promptbench.protocol import (
    Column,
    Leg,
    Protocol,
    Source,
    Target,
    Value,
    harmonic_mean,
    mean_of,
    score,
)


@gin.configurable
class BaseToNew(Protocol):
    """Args: datasets: the data sets, one leg each."""

    title = "Base-to-new generalisation"
    version = 1

    def __init__(self, datasets: Sequence[str] = ()) -> None:
        self.datasets = tuple(datasets)

    def legs(self, shots: int, only: Sequence[str] | None = None) -> list[Leg]:
        return [
            Leg(
                Source(name, "base", shots),
                (Target(name, "base", "none"), Target(name, "new", "classes")),
            )
            for name in only or self.datasets
        ]

    def columns(self, legs: Sequence[Leg]) -> list[Column]:
        columns: list[Column] = []
        for leg in legs:
            name = leg.source.dataset
            base, new = score((name, f"{name}/base")), score((name, f"{name}/new"))
            columns += _triple(name, base, new, name)
        bases = [column for column in columns if column.title == "base"]
        news = [column for column in columns if column.title == "new"]
        return columns + _triple("Average", mean_of(bases), mean_of(news), "Average")


def _triple(group: str, base: Value, new: Value, published: str) -> list[Column]:
    hm = harmonic_mean(base, new)
    values = (("base", base), ("new", new), ("HM", hm))
    return [Column(group, title, value, (published, title.lower())) for title, value in values]
