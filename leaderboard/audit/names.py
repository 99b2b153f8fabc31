"""The same numbers under two names: rows of different methods that agree by more than chance.

Two methods may well print 95.20 for one dataset. Rows are reported where they agree in so many of
the numbers that both print that, if cells agreed by chance, a hundred audits of this size would not
hold one such pair. What a paper does with it is not judged: a method that leaves new classes to its
baseline repeats the baseline's numbers by design.
"""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from promptbench.leaderboard.audit.arithmetic import finding
from promptbench.leaderboard.audit.findings import Finding
from promptbench.leaderboard.audit.lines import Cell, PrintedRow
from promptbench.leaderboard.audit.rules import Rules

_SPREAD = 0.5  # points within which rows of one cell agree by chance, at the narrowest
_RARE = 0.01  # expected pairs that agree so much by chance, over a whole audit
_PAIRS = 1000  # compared at least: a table of one's own is one of many that are looked at

_Group = tuple[str, str, str]


def repeated(rows: Sequence[PrintedRow], rules: Rules) -> list[Finding]:
    """The findings of all pairs of rows of one protocol.

    Rows that differ in their source or inference rule only are of one name; where a source scores
    new classes by one rule and base classes by another, it prints the same numbers twice.
    """
    pairs = [
        pair
        for same in _comparable(rows).values()
        for pair in itertools.combinations(same, 2)
        if pair[0].method != pair[1].method
    ]
    return [found for a, b in pairs for found in _of_pair(a, b, rules, len(pairs))]


def _comparable(rows: Sequence[PrintedRow]) -> dict[_Group, list[PrintedRow]]:
    """Rows by backbone and metric; numbers of two backbones agree by chance only."""
    found: dict[_Group, list[PrintedRow]] = defaultdict(list)
    for row in rows:
        found[row.protocol, row.backbone, row.metric].append(row)
    return found


def _of_pair(a: PrintedRow, b: PrintedRow, rules: Rules, pairs: int) -> Iterator[Finding]:
    """One finding for all splits in which the rows agree by more than chance."""
    by_split: dict[str, list[Cell]] = defaultdict(list)
    for cell in _independent(a, b, rules):
        by_split[cell[1]].append(cell)
    agreeing = {}
    for split, cells in by_split.items():
        equal = [cell for cell in cells if a.cells[cell].value == b.cells[cell].value]
        if equal and _expected(a, equal, len(cells), pairs * len(by_split)) < _RARE:
            agreeing[split] = (equal, cells)
    if agreeing:
        yield _finding(a, b, agreeing)


def _independent(a: PrintedRow, b: PrintedRow, rules: Rules) -> list[Cell]:
    """The cells that both print and that follow from no others; averages where that is all."""
    derived = {rule.split for rule in rules.harmonic}
    common = [cell for cell in a.cells if cell in b.cells and cell[1] not in derived]
    single = [cell for cell in common if cell[0] not in rules.averages]
    return single or common


def _expected(row: PrintedRow, equal: Sequence[Cell], of: int, pairs: int) -> float:
    """How many of so many pairs would agree in as many cells by chance: a binomial tail."""
    p = min(1.0, max(row.cells[cell].unit for cell in equal) / _SPREAD)
    tail = sum(math.comb(of, k) * p**k * (1 - p) ** (of - k) for k in range(len(equal), of + 1))
    return max(pairs, _PAIRS) * tail


def _finding(
    a: PrintedRow, b: PrintedRow, agreeing: Mapping[str, tuple[Sequence[Cell], Sequence[Cell]]]
) -> Finding:
    """A finding about the row that comes later, or that names the other in its own name."""
    first, second = (b, a) if a.method.startswith(f"{b.method}+") else (a, b)
    start = next(iter(agreeing.values()))[0][0]
    amounts = [
        f"all {len(equal)} {split}"
        if len(equal) == len(cells)
        else f"{len(equal)} of {len(cells)} {split}"
        for split, (equal, cells) in agreeing.items()
    ]
    at = first.cells[start]
    said = f"{' and '.join(amounts)} numbers are those of {first.method}: {at.file}, from line "
    said += f"{at.line}, {first.source}"
    added = second.method.startswith(f"{first.method}+")
    return replace(
        finding(second, start, "two names", said, None),
        dataset="",
        split=" and ".join(agreeing),
        printed="",
        cause=f"its name says that it builds on {first.method}" if added else "",
    )
