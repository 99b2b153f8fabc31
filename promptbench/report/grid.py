"""A table of plain cells: what is measured or counted rather than estimated, such as costs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class GridRow:
    """A row: its title, one text per column, and the same as typed values for programs."""

    title: str
    cells: tuple[str, ...]
    facts: Mapping[str, Any]
    muted: bool = False  # grey: it uses what others do not know


@dataclass(frozen=True)
class Grid:
    """Rows under columns; `facts` hold of the whole grid. `notes` belong under it, `banner` above;
    `head` stands above the titles of the rows. The first `keys` columns tell rows of one title
    apart: where columns do not fit side by side, they stand before each part. `folds`: where room
    is scarce, a column that is the same in every row may be a sentence below instead; not in a
    matrix, whose columns are a whole.

    All grids that are shown together have the same names in `facts`, and in those of their rows.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[GridRow, ...]
    facts: Mapping[str, Any] = field(default_factory=dict)
    banner: str = ""
    notes: tuple[str, ...] = ()
    head: str = "method"
    folds: bool = False
    keys: int = 0
