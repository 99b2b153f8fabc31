"""Many comparisons at once: Holm's adjustment, which row is best, and which ranks are left open.

One rule for tables and for the leaderboard. Every two rows of a column are compared by a paired
t-test over their common seeds (three at least), and Holm's adjustment covers all pairs of all
columns that stand together: the best row is picked by the same numbers, so that counting only the
pairs with the best would find too much (the simulations in docs/statistics.md show by how much).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from promptbench.statistics.estimates import ENOUGH_SEEDS, Estimate
from promptbench.statistics.paired import Floats, t_p_values

ALPHA = 0.05
_AT_ONCE = 2**16  # tests, whose differences are held together
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
    tests = [_compared(column) for column in columns]
    adjusted = iter(holm(np.concatenate([np.empty(0), *(test.p for test in tests)])))
    found: list[Above] = [[set() for _ in column] for column in columns]
    for above, test in zip(found, tests, strict=True):
        proven = np.fromiter(adjusted, float, len(test.p)) <= ALPHA
        first = test.difference > 0 if better_is_higher else test.difference < 0
        worse, better = np.where(first, test.rows[::-1], test.rows)[:, proven].tolist()
        for own, other in zip(worse, better, strict=True):
            above[own].add(other)
    return found, sum(len(test.p) for test in tests)


class _Tests(NamedTuple):
    """Tests of two rows each, over the seeds that both have: the numbers of the `rows` (2, tests),
    the `difference` of the first from the second one, and its `p`-value, both (tests,)."""

    rows: NDArray[np.intp]
    difference: Floats
    p: Floats


def _compared(column: Entries) -> _Tests:
    """Every two rows of a column of which there is a test: those with the same seeds at once."""
    kinds: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for row, entry in enumerate(column):
        if entry is not None:
            kinds[tuple(sorted(seed for seed, _ in entry.by_seed))].append(row)
    found = [_Tests(np.empty((2, 0), np.intp), np.empty(0), np.empty(0))]
    for (seeds, rows), (others, later) in combinations_with_replacement(kinds.items(), 2):
        common = [seed for seed in seeds if seed in others]
        if len(common) >= ENOUGH_SEEDS:
            found += _tests(column, common, rows, later, seeds == others)
    return _Tests(*(np.concatenate(parts, axis=-1) for parts in zip(*found, strict=True)))


def _tests(
    column: Entries, common: Sequence[int], rows: list[int], others: list[int], same: bool
) -> Iterator[_Tests]:
    """Each of these rows against each of the others, or every two of the same; `common` are their
    seeds, all of them where they have the `same`."""
    size = len(rows), len(others)
    first, second = np.triu_indices(*size[:1], 1) if same else np.indices(size).reshape(2, -1)
    (own, means), (other, other_means) = (_values(column, some, common) for some in (rows, others))
    for start in range(0, len(first), _AT_ONCE):
        a, b = first[start : start + _AT_ONCE], second[start : start + _AT_ONCE]
        differences = own[a] - other[b]
        center = means[a] - other_means[b] if same else differences.mean(-1)
        p = t_p_values(differences, center)
        there = ~np.isnan(p)  # not where all differences are equal
        pairs = np.stack([np.array(rows)[a], np.array(others)[b]])
        yield _Tests(pairs[:, there], center[there], p[there])


def _values(column: Entries, rows: Sequence[int], seeds: Sequence[int]) -> tuple[Floats, Floats]:
    """The values of rows by seed, (rows, seeds), and their means, (rows,)."""
    entries = [entry for row in rows if (entry := column[row]) is not None]
    by_seed = [dict(entry.by_seed) for entry in entries]
    values = np.array([[own[seed] for seed in seeds] for own in by_seed])
    return values, np.array([entry.mean for entry in entries])
