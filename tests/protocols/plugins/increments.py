"""Classes arrive in steps: learn those of a step and of all before it, score all seen so far."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from promptbench.api import Column, Leg, Protocol, Rule, Source, Target, mean_of, portion, score

PROMPTBENCH_API = 1


class Increments(Protocol):
    """Args: datasets: the datasets. steps: the steps in which their classes arrive."""

    title = "Increments"
    version = 1

    def __init__(self, datasets: Sequence[str] = (), steps: int = 2) -> None:
        self.datasets = tuple(datasets)
        self.steps = steps

    def class_sets(self) -> Mapping[str, Rule]:
        steps = range(self.steps)
        arrived = {f"step{k + 1}": portion(k, k + 1, of=self.steps) for k in steps}
        return arrived | {f"seen{k + 1}": portion(0, k + 1, of=self.steps) for k in steps}

    def legs(self, shots: int, only: Sequence[str] | None = None) -> list[Leg]:
        return [
            Leg(Source(name, f"seen{k}", shots), self._targets(name, k))
            for name in only or self.datasets
            for k in range(1, self.steps + 1)
        ]

    def _targets(self, name: str, k: int) -> tuple[Target, ...]:
        of_step = [Target(name, f"step{i}", "none", names=f"seen{k}") for i in range(1, k + 1)]
        return (Target(name, f"seen{k}", "none"), *of_step)

    def columns(self, legs: Sequence[Leg]) -> list[Column]:
        found: list[Column] = []
        ends: list[Column] = []
        for leg in legs:
            name, shots, seen = leg.source.dataset, leg.source.shots, leg.source.classes
            titles = [
                t.classes if t.names is None else f"{t.classes} at {seen}" for t in leg.targets
            ]
            own = zip(titles, leg.targets, strict=True)
            own_columns = [Column(name, title, score(leg.source, t), shots) for title, t in own]
            ends.append(own_columns[0])
            found += own_columns
        if not ends:
            return []
        return [
            *found,
            Column("Average", "seen", mean_of(ends), ends[0].shots, members=tuple(ends)),
        ]
