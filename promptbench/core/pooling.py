"""Open label spaces: targets in which names that were learned compete with names that were not.

Images of learned and of other classes are separate targets there, over the same names; a metric
that is about both together (`Metric.pooled`) has one value for all of them, and one column.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from promptbench.core.protocol import Column, Leg, ScoreKey, Source, Target, mean_of


@dataclass(frozen=True)
class Pool:
    """Targets of one leg whose images are disjoint and compete over the same names."""

    targets: tuple[Target, ...]

    @property
    def key(self) -> str:
        """How it is called in scores: `dtd/base+new-of-all`; a single target as ever."""
        first = self.targets[0]
        named = f"-of-{first.names}" if first.names else ""
        return f"{first.dataset}/{'+'.join(t.classes for t in self.targets)}{named}"


def learned_places(source: Source, target: Target, n_classes: int) -> list[int] | None:
    """Return the places, among the names that compete, of those that were learned.

    None unless names that were learned and names that were not compete: those of another dataset
    are all unseen. `n_classes` are those of the target's dataset.
    """
    if source.dataset != target.dataset:
        return None
    learned, competing = set(source.labels_in(n_classes)), target.competing_in(n_classes)
    places = [place for place, label in enumerate(competing) if label in learned]
    return places if 0 < len(places) < len(competing) else None


def pools(leg: Leg) -> list[Pool]:
    """Return the open label spaces of a leg, in the order of its targets.

    Targets whose images overlap (all classes, and a part of them) are not of one pool.
    """
    found: dict[tuple[object, ...], list[list[Target]]] = {}
    for target in leg.targets:
        n = _classes(leg.source, target)
        if learned_places(leg.source, target, n) is None:
            continue
        labels = set(target.labels_in(n))
        space = (target.dataset, target.split, target.scored_over, tuple(target.competing_in(n)))
        groups = found.setdefault(space, [])
        for group in groups:
            if all(labels.isdisjoint(other.labels_in(n)) for other in group):
                group.append(target)
                break
        else:
            groups.append([target])
    return [Pool(tuple(group)) for groups in found.values() for group in groups]


def _classes(source: Source, target: Target) -> int:
    """As many classes as it takes to hold labels against each other: what standard sets share does
    not depend on the number, and others say their labels."""
    given = (source.labels, target.labels, target.competing)
    return 1 + max((label for labels in given for label in labels or ()), default=1)


def pooled_columns(columns: Sequence[Column], legs: Sequence[Leg]) -> list[Column]:
    """Return the columns for a metric of whole open label spaces: one for each, and their mean.

    The mean stands under the heading of those that `columns` have. Without such a space the columns
    stay as they are: nothing in them has a value.
    """
    found = [_column(leg.source, pool) for leg in legs for pool in pools(leg)]
    if not found:
        return list(columns)
    means = [column.group for column in columns if column.members]
    for shots in dict.fromkeys(column.shots for column in found):
        own = tuple(column for column in found if column.shots == shots and not column.members)
        if means and len(own) > 1:
            found.append(Column(means[-1], "mean", mean_of(own), shots, None, own))
    return found


def _column(source: Source, pool: Pool) -> Column:
    key: ScoreKey = (source.key, source.shots, pool.key)
    title = " + ".join(target.classes for target in pool.targets)
    return Column(pool.targets[0].dataset, title, _value(key), source.shots)


def _value(key: ScoreKey) -> Callable[..., float | None]:
    return lambda scores: scores.get(key)
