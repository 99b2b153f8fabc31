"""Base-to-new generalisation (Zhou et al., arXiv 2203.05557): learn the base half, score both.

The first ceil(n/2) labels are base, the others new; labels are renumbered in each half, and each
half is scored over its own names. Few-shot sampling comes before the split.
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
    harmonic_mean,
    mean_of,
    score,
)


class BaseToNew(Protocol):
    """Args: datasets: the datasets, one leg each."""

    title = "Base-to-new generalisation"
    version = 1

    def __init__(self, datasets: Sequence[str] = ()) -> None:
        self.datasets = tuple(datasets)

    def targets(self, dataset: str) -> tuple[Target, Target]:
        """What is scored of a dataset: base, then new."""
        return Target(dataset, "base", "none"), Target(dataset, "new", "classes")

    def legs(self, shots: int, only: Sequence[str] | None = None) -> list[Leg]:
        names = only or self.datasets
        return [Leg(Source(name, "base", shots), self.targets(name)) for name in names]

    def columns(self, legs: Sequence[Leg]) -> list[Column]:
        triples = [_triple(leg.source, *self.targets(leg.source.dataset)) for leg in legs]
        title = average_title((leg.source.dataset for leg in legs), self.datasets)
        columns = [column for triple in triples for column in triple]
        return columns + _averages(title, triples) if triples else []


Triple = tuple[Column, Column, Column]  # base, new, HM


def _triple(source: Source, base: Target, new: Target) -> Triple:
    name, shots = source.dataset, source.shots
    b, n = score(source, base), score(source, new)
    return (
        Column(name, "base", b, shots, (name, "base")),
        Column(name, "new", n, shots, (name, "new")),
        Column(name, "HM", harmonic_mean(b, n), shots, (name, "hm")),
    )


def _averages(title: str, triples: Sequence[Triple]) -> list[Column]:
    """Mean base, mean new, and the HM of these two."""
    bases, news, hms = zip(*triples, strict=True)
    base, new = mean_of(bases), mean_of(news)
    values = (("base", base, bases), ("new", new, news), ("HM", harmonic_mean(base, new), hms))
    whole = title == "Average"
    return [
        Column(title, name, value, bases[0].shots, (title, name.lower()) if whole else None, over)
        for name, value, over in values
    ]
