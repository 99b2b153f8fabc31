"""What a record is a record of: the row that it belongs to, and the cell of that row.

A cell's identity does not depend on what was scored or on ids, which the author of a record
computes: whoever leaves targets out, or scores other images, still speaks of the same cell.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from promptbench import mixing
from promptbench.errors import UserError
from promptbench.leaderboard.checking import known, settings_checks
from promptbench.mixing.outlines import digests
from promptbench.records import Record, once

_ENTERING = {
    f"backbone.{name}"
    for name in ("image_size", "mean", "std", "interpolation", "resize_mode", "fill_color")
}

Key = tuple[object, ...]
Entry = tuple[Path, Record]


@once
def row_of(r: Record) -> Key:
    """What distinguishes rows of a board, as of any table; records that agree in it share a row
    unless they contradict each other (`agreement`).

    Settings of a suite's backbone from before a search chose them have a row of their own.
    What a stranger can say otherwise of the same method and weights (title, paradigm, provider, how
    images enter) is left out: it opens no row beside one that stands, it is refused by name.
    """
    table = {
        k: v for k, v in mixing.table_of(r, known.shots_together).items() if k not in _ENTERING
    }
    variant = mixing.variant_of(r)._replace(title="", paradigm="", provider="")
    return (*table.values(), r.source.shots, *variant, settings_checks.are_superseded(r))


def place_in_row(r: Record) -> Key:
    """The source that a record has learned from; a row has one cell per source and seed."""
    return (r.source.dataset, r.source.classes)


def cell_of(r: Record) -> Key:
    """The cell of a record; two records of one cell must have the same numbers."""
    return (*row_of(r), *place_in_row(r), r.seed)


def named(r: Record) -> str:
    """A cell in words."""
    return f"{r.method.name} on {r.source.dataset}, seed {r.seed} ({r.protocol.name}, {r.suite})"


def same_numbers(a: Record, b: Record) -> bool:
    """Whether two records say the same of what was computed. Predictions of different schemas have
    other bytes: of these, counts, losses, subset and parameters are compared."""
    own, other = digests(a), digests(b)
    if a.schema_version == b.schema_version:
        return own.numbers == other.numbers
    return own.computed == other.computed


def conflict(first: Entry, other: Entry) -> str | None:
    """What is wrong with two records of one cell; None if their numbers are equal."""
    if same_numbers(first[1], other[1]):
        return None
    return (
        f"two records of the cell {first[1].cell_id[:10]} have different numbers "
        f"({named(first[1])}): {first[0]} and {other[0]}"
    )


def refuse_other_numbers(entries: Sequence[Entry]) -> None:
    """Refuse several records of one cell that disagree.

    Raises:
        UserError: two records of one cell with different numbers; both files are named.
    """
    seen: dict[Key, Entry] = {}
    for entry in entries:
        problem = conflict(seen.setdefault(cell_of(entry[1]), entry), entry)
        if problem:
            raise UserError(
                f"{problem}; leave one of them out (promptbench reproduce shows which one holds)"
            )
