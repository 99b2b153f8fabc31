"""Learn the first third of the classes; score each third over its own names, and their mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from promptbench.api import Column, Leg, Protocol, Rule, Source, Target, mean_of, portion, score

PROMPTBENCH_API = 1
PARTS = ("first", "second", "third")


class Thirds(Protocol):
    """Args: datasets: the datasets, one leg each."""

    title = "Thirds"
    version = 1

    def __init__(self, datasets: Sequence[str] = ()) -> None:
        self.datasets = tuple(datasets)

    def class_sets(self) -> Mapping[str, Rule]:
        return {name: portion(i, i + 1, of=3) for i, name in enumerate(PARTS)}

    def legs(self, shots: int, only: Sequence[str] | None = None) -> list[Leg]:
        return [
            Leg(
                Source(name, "first", shots),
                tuple(Target(name, c, "none" if c == "first" else "classes") for c in PARTS),
            )
            for name in only or self.datasets
        ]

    def columns(self, legs: Sequence[Leg]) -> list[Column]:
        found: list[Column] = []
        means: list[Column] = []
        for leg in legs:
            name, shots = leg.source.dataset, leg.source.shots
            own = [Column(name, t.classes, score(leg.source, t), shots) for t in leg.targets]
            means.append(Column(name, "mean", mean_of(own), shots))
            found += [*own, means[-1]]
        if not means:
            return []
        return [
            *found,
            Column("Average", "mean", mean_of(means), means[0].shots, members=tuple(means)),
        ]
