"""A result table as plain data: methods as rows, the protocol's columns, published numbers too."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from promptbench.core.metric import Metric
from promptbench.core.selection import USUAL
from promptbench.statistics import Estimate

if TYPE_CHECKING:
    from promptbench.mixing import Variant

PARADIGMS = ("zero-shot", "end-to-end", "feature space", "selective", "decoupled", "coupled")


@dataclass(frozen=True)
class Heading:
    """A column: its group (a dataset, a kind of target, a number of shots), its own title, the
    shots behind it, whether it sums up others, and the numbers of these."""

    group: str
    title: str
    shots: int
    summary: bool
    members: tuple[int, ...] = ()


@dataclass(frozen=True)
class Row:
    """A line of our own numbers, or of one source's; our own is empty where nobody ran it.

    `entries` has one estimate per column, None where it is incomplete or not printed; published
    ones have no interval and n = 0. `differences` is ours minus published. `best` and `second`
    are the columns in which the row has these places, `separated` those in which a test proves
    that it lies below the best (see `marks`). `uses_split`: decoupled inference. `variant` says
    which records, or which method's usual settings, the row stands for. `mixed`: what its
    records do not have in common, such as versions, see `mixing.marks`. `track` is what the method
    may learn from, `settings` what its settings were chosen by, `selection` which of a training's
    states is scored: `tracks` says which rows compete by these. Of published rows, `slips` say
    column by column how a number contradicts the others of its source, and `over` counts the
    datasets of its averages, None where that is not known.
    """

    title: str
    paradigm: str
    kind: Literal["ours", "published"]
    entries: tuple[Estimate | None, ...]
    n: int = 0
    uses_split: bool = False
    best: frozenset[int] = frozenset()
    second: frozenset[int] = frozenset()
    separated: frozenset[int] = frozenset()
    differences: tuple[float | None, ...] = ()
    source: str = ""
    origin: str = ""
    note: str = ""
    variant: Variant | None = None
    mixed: tuple[str, ...] = ()
    track: str = "inductive"
    settings: tuple[str, ...] = ("paper",)
    selection: str = USUAL
    slips: tuple[str, ...] = ()
    over: tuple[int | None, ...] = ()

    @property
    def around(self) -> str:
        """Return what is unusual about weights and precision: nothing, as a table has one."""
        return ""

    @property
    def competes(self) -> bool:
        """Return whether the row knows and scores what others do: no decoupled inference, no part
        of the images."""
        return not self.uses_split and not (self.variant and self.variant.limit)

    @property
    def section(self) -> str:
        """Return what the row stands under: its paradigm, and its track if it uses more data."""
        return self.paradigm if self.track == "inductive" else f"{self.paradigm}, {self.track}"


@dataclass(frozen=True)
class Table:
    """A result table of one metric; `notes` belong under it, `banner` above it."""

    title: str
    protocol: str
    metric: Metric
    headings: tuple[Heading, ...]
    rows: tuple[Row, ...]
    banner: str = ""
    notes: tuple[str, ...] = ()
    on_one_data: bool = True  # else rows have seen other images or class names than others

    def sections(self) -> list[tuple[str, list[Row]]]:
        """The rows by paradigm and track, in the table's order."""
        return sections(self.rows)

    def sources(self) -> dict[tuple[str, str, str], int]:
        """(source, origin, note) of the published rows, numbered from 1."""
        cited = [(r.source, r.origin, r.note) for r in self.rows if r.kind == "published"]
        return {source: number for number, source in enumerate(dict.fromkeys(cited), 1)}


def sections(rows: Iterable[Row]) -> list[tuple[str, list[Row]]]:
    """Rows by paradigm and track, in their order."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row.section, []).append(row)
    return list(found.items())
