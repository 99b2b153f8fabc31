"""Many comparisons at once: Holm's adjustment, which row is best, and which ranks are left open.

One rule for tables and for the leaderboard. Every two rows of a column are compared by a paired
t-test over their common seeds (three at least), and Holm's adjustment covers all pairs of all
columns that stand together: the best row is picked by the same numbers, so that counting only the
pairs with the best would find too much (the simulations in docs/statistics.md show by how much).
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from promptbench.statistics.estimates import ENOUGH_SEEDS, Estimate
from promptbench.statistics.paired import Floats, t_p_values

ALPHA = 0.05
Entries = Sequence[Estimate | None]  # of one column, one per row; None: it does not compete
Above = list[set[int]]  # for each row, the rows that are proven to be better


def holm(p_values: Any) -> Floats:
    """Holm's adjusted p-values of families along the last axis; nan is not in the family."""
    p = np.asarray(p_values, dtype=float)
    order = np.argsort(p, axis=-1)  # nan comes last
    many = np.sum(~np.isnan(p), axis=-1, keepdims=True)
    raised = np.minimum(1.0, np.take_along_axis(p, order, -1) * (many - np.arange(p.shape[-1])))
    found = np.full_like(p, np.nan)
    np.put_along_axis(found, order, np.maximum.accumulate(raised, axis=-1), -1)
    return np.where(np.isnan(p), np.nan, found)


@dataclass(frozen=True)
class Standing:
    """Who stands where in a column, rows by number.

    `best` and `second` share equal printed numbers; `separated` rows are proven to lie below every
    best one.
    """

    best: frozenset[int] = frozenset()
    second: frozenset[int] = frozenset()
    separated: frozenset[int] = frozenset()


def standings(
    columns: Sequence[Entries], higher: bool = True, decimals: int = 2
) -> tuple[list[Standing], int]:
    """The standing in each column of a table, and how many tests Holm's adjustment covers.

    `higher`: higher values are better; they are printed with so many `decimals`.

    A row with fewer than three seeds competes only where fewer than two rows have them.
    """
    competing = [_competing(column) for column in columns]
    above, tests = _separated(competing, higher)
    standing = [
        _standing(column, proven, higher, decimals)
        for column, proven in zip(competing, above, strict=True)
    ]
    return standing, tests


def places(column: Entries, higher: bool = True) -> list[tuple[int, int] | None]:
    """The first and the last place that is left open to each row of at least three seeds.

    Rows proven to lie above (to be better) come before, those proven to lie below come after.
    """
    ranked = [entry if entry and entry.n >= ENOUGH_SEEDS else None for entry in column]
    (above,), _ = _separated([ranked], higher)
    many = sum(entry is not None for entry in ranked)
    return [
        None if entry is None else (1 + len(above[row]), many - sum(row in a for a in above))
        for row, entry in enumerate(ranked)
    ]


def _competing(column: Entries) -> list[Estimate | None]:
    enough = [entry if entry and entry.n >= ENOUGH_SEEDS else None for entry in column]
    return enough if sum(entry is not None for entry in enough) > 1 else list(column)


def _standing(column: Entries, above: Above, higher: bool, decimals: int) -> Standing:
    printed = {
        row: float(f"{entry.mean:.{decimals}f}")
        for row, entry in enumerate(column)
        if entry is not None
    }
    if len(printed) < 2:
        return Standing()
    first, *others = sorted(set(printed.values()), reverse=higher)
    best = frozenset(row for row, value in printed.items() if value == first)
    second = frozenset(row for row, value in printed.items() if others and value == others[0])
    return Standing(best, second, frozenset(row for row in printed if best <= above[row]))


def _separated(columns: Sequence[Entries], better_is_higher: bool) -> tuple[list[Above], int]:
    """For each column and row, the rows proven to be better; and the number of tests."""
    tested: list[tuple[int, int, int]] = []  # column, the worse row, the better one
    p_values: list[float] = []
    for number, column in enumerate(columns):
        for a, b, difference, p in _compared(column):
            first = difference > 0 if better_is_higher else difference < 0
            tested.append((number, b, a) if first else (number, a, b))
            p_values.append(p)
    found: list[Above] = [[set() for _ in column] for column in columns]
    for (number, worse, better), p in zip(tested, holm(p_values), strict=True):
        if p <= ALPHA:
            found[number][worse].add(better)
    return found, len(tested)


def _compared(column: Entries) -> Iterator[tuple[int, int, float, float]]:
    """Every two rows of a column of which there is a test over their common seeds: the rows, their
    difference, its p-value. A row is tested against all later ones at once."""
    rows = [(row, entry) for row, entry in enumerate(column) if entry is not None]
    seeds = {row: dict(entry.by_seed) for row, entry in rows}
    for place, (a, own) in enumerate(rows):
        by_count: dict[int, list[tuple[int, float, list[float]]]] = defaultdict(list)
        for b, other in rows[place + 1 :]:
            of_a, of_b = seeds[a], seeds[b]
            differences = [of_a[seed] - of_b[seed] for seed in of_a if seed in of_b]
            if len(differences) >= ENOUGH_SEEDS:
                same = of_a.keys() == of_b.keys()
                center = own.mean - other.mean if same else sum(differences) / len(differences)
                by_count[len(differences)].append((b, center, differences))
        found: dict[int, tuple[float, float]] = {}
        for tests in by_count.values():
            later, centers, differences_of = zip(*tests, strict=True)
            p_values = t_p_values(differences_of, centers).tolist()
            found |= dict(zip(later, zip(centers, p_values, strict=True), strict=True))
        for b in sorted(found):
            difference, p = found[b]
            if not math.isnan(p):  # all differences are equal
                yield a, b, difference, p
