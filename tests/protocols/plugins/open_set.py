"""Learn every other class; score images of these and of the others over the names of all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from promptbench.api import (
    Column,
    Leg,
    Protocol,
    Rule,
    Source,
    Target,
    harmonic_mean,
    mean_of,
    score,
)

PROMPTBENCH_API = 1


class OpenSet(Protocol):
    """Args: datasets: the datasets, one leg each."""

    title = "Open set"
    version = 1
    split_known = False  # nothing says at test time whether a class was learned

    def __init__(self, datasets: Sequence[str] = ()) -> None:
        self.datasets = tuple(datasets)

    def class_sets(self) -> Mapping[str, Rule]:
        return {"known": lambda n: range(0, n, 2), "unknown": lambda n: range(1, n, 2)}

    def legs(self, shots: int, only: Sequence[str] | None = None) -> list[Leg]:
        return [
            Leg(
                Source(name, "known", shots),
                (
                    Target(name, "known", "none", names="all"),
                    Target(name, "unknown", "classes", names="all"),
                ),
            )
            for name in only or self.datasets
        ]

    def columns(self, legs: Sequence[Leg]) -> list[Column]:
        found: list[Column] = []
        means: list[Column] = []
        for leg in legs:
            name, shots = leg.source.dataset, leg.source.shots
            known, unknown = (score(leg.source, target) for target in leg.targets)
            means.append(Column(name, "H", harmonic_mean(known, unknown), shots))
            found += [Column(name, "known", known, shots), Column(name, "unknown", unknown, shots)]
            found.append(means[-1])
        if not means:
            return []
        average = mean_of(means)
        return [*found, Column("Average", "H", average, means[0].shots, members=tuple(means))]
