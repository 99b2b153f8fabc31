"""What all formats share: numbers as text, clean titles, wide tables in parts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from promptbench.report import ranges
from promptbench.statistics import ENOUGH_SEEDS, Estimate

if TYPE_CHECKING:
    from promptbench.core.metric import Metric
    from promptbench.report.table import Heading, Row, Table

NOTHING = "—"
MIXED = "§"  # of a row whose records were not all computed alike
SLIP = "¶"  # of a printed number that contradicts the others of its source


def figure(value: Estimate | None, decimals: int = 2) -> str:
    """A number with its spread and the mark of too few seeds; a dash where there is none."""
    if value is None:
        return NOTHING
    shown = (f"{value.mean:.{decimals}f}", spread(value, decimals))
    return " ".join(filter(None, shown)) + few(value)


def few(value: Estimate) -> str:
    """The mark of a number from too few seeds, if it is one."""
    return "†" if 0 < value.n < ENOUGH_SEEDS and not value.fixed else ""


def spread(value: Estimate, decimals: int = 2, sign: Literal["", "+"] = "") -> str:
    """How far a number may be off, as `spread_notes` explains; empty where that is unknown.

    `sign` "+" is for differences.
    """
    if value.spread is None:
        return ""
    low, high = (f"{end:{sign}.{decimals}f}" for end in value.spread)
    if value.half_width is None:
        apart = " to " if sign or value.spread[0] < 0 else "–"
        return f"({low}{apart}{high})"
    return f"[{low}, {high}]" if value.is_cut else f"±{value.half_width:.{decimals}f}"


def bars_note(values: Iterable[Estimate]) -> str:
    """What the bars of a plot of these numbers are; empty where it has none."""
    kinds = {value.half_width is None for value in values if value.spread is not None}
    return {
        frozenset({False}): "bars: 95% interval over seeds",
        frozenset({True}): "bars: the values of two seeds",
        frozenset({False, True}): "bars: 95% interval over seeds; of only two seeds, their values",
    }.get(frozenset(kinds), "")


def spread_notes(values: Iterable[Estimate], called: str) -> list[str]:
    """What the spreads of these numbers mean: one note for each kind among them.

    `called` is what they are, in the plural, such as `Metric.values`.
    """
    found = list(values)
    intervals = [value for value in found if value.half_width is not None]
    kinds = (
        (
            any(not value.is_cut for value in intervals),
            "± is the half width of the 95% t interval over seeds, on these test images; "
            "n counts seeds",
        ),
        (
            any(value.is_cut for value in intervals),
            "[a, b]: a 95% t interval over seeds, on these test images, which ends where "
            f"{called} end",
        ),
        (
            any(value.span is not None for value in found),
            "(a–b): the values of two seeds, which are too few for an interval",
        ),
        (
            any(value.fixed for value in found),
            "without ±, from several seeds: nothing is drawn, every seed gives this number",
        ),
    )
    return [note for holds, note in kinds if holds]


def sampling_notes(values: Iterable[Estimate]) -> list[str]:
    """What the line of the test images' sampling error means, where there is one."""
    if not any(value.images for value in values):
        return []
    return [
        f"{SAMPLING}: 95% sampling error of the test images (Wilson), the largest of the column's "
        "rows; ± over seeds does not hold it; of a difference of rows see promptbench compare"
    ]


SAMPLING = "test images"


@dataclass(frozen=True)
class Line:
    """A line of text cells, one per column, and what it is; `named`: a published one that has its
    method's name, since no own row stands above it."""

    title: str
    cells: tuple[str, ...]
    n: str
    kind: Literal["ours", "published", "difference", "range", "sampling"]
    uses_split: bool
    best: frozenset[int] = frozenset()
    second: frozenset[int] = frozenset()
    named: bool = False


def sampling(table: Table) -> Line | None:
    """The largest sampling error of the test images in each column; None without own numbers."""
    cells = []
    for number in range(len(table.headings)):
        entries = [row.entries[number] for row in table.rows]
        halves = [(e.images[1] - e.images[0]) / 2 for e in entries if e and e.images]
        cells.append(f"±{table.metric.text(max(halves))}" if halves else "")
    return Line(SAMPLING, tuple(cells), "", "sampling", False) if any(cells) else None


def lines(table: Table, rows: Sequence[Row]) -> list[Line]:
    """Rows as text: ours, under it each source with its difference, and the sources' range.

    Sources without an own row above them have the method's name themselves.
    """
    numbers, found = table.sources(), []
    above = None  # whose row it is that published ones stand under
    for block in ranges.blocks(rows):
        for row in block:
            if row.kind == "ours":
                found.append(_own(row, table.metric))
                above = row.variant
                continue
            source = numbers[row.source, row.origin, row.note]
            found.append(_printed(row, source, table.metric, named=row.variant != above))
            if any(difference is not None for difference in row.differences):
                signed = ("" if d is None else table.metric.text(d, "+") for d in row.differences)
                found.append(Line("difference", tuple(signed), "", "difference", row.uses_split))
        found += _range(block, table)
    return found


def _own(row: Row, metric: Metric) -> Line:
    cells = tuple(
        figure(entry, metric.decimals) + ("‡" if number in row.separated else "")
        for number, entry in enumerate(row.entries)
    )
    title = f"{row.title} {MIXED}" if row.mixed else row.title
    n = str(row.n) if row.n else ""
    return Line(title, cells, n, "ours", row.uses_split, row.best, row.second)


def _printed(row: Row, source: int, metric: Metric, named: bool) -> Line:
    slips = row.slips or ("",) * len(row.entries)
    cells = tuple(
        "" if entry is None else figure(entry, metric.decimals) + (SLIP if slip else "")
        for entry, slip in zip(row.entries, slips, strict=True)
    )
    title = f"{row.title if named else 'published'}, {origin_of(row.origin)} [{source}]"
    return Line(title, cells, "", "published", row.uses_split, named=named)


def origin_of(origin: str) -> str:
    """Say whose run a published number is of: original, re-run, or origin unknown."""
    return "origin unknown" if origin == "unknown" else origin


def _range(block: Sequence[Row], table: Table) -> list[Line]:
    """The line of the range of several sources."""
    found = ranges.of_columns(block, table.headings) if len(block) > 1 else []
    if not any(found):
        return []
    cells = ("" if each is None else ranges.text(each, table.metric.decimals) for each in found)
    title = f"range of {len(block)} sources"
    return [Line(title, tuple(cells), "", "range", block[0].uses_split)]


def footnotes(table: Table, shown: Sequence[Row] | None = None) -> list[str]:
    """The notes, then the numbered sources, all or those of the rows that are `shown`."""
    slips = _slips(table)
    rows = table.rows if shown is None else shown
    wanted = {(row.source, row.origin, row.note) for row in rows}
    cited = [
        f"[{number}] {origin_of(origin)}: {source}"
        + (f"; {note}" if note else "")
        + "".join(f"; {SLIP} {slip}" for slip in slips[source, origin, note])
        for (source, origin, note), number in table.sources().items()
        if (source, origin, note) in wanted
    ]
    return [*table.notes, *cited]


def _slips(table: Table) -> dict[tuple[str, str, str], list[str]]:
    """By source, which of its numbers contradict its others, and how."""
    found: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for row in table.rows:
        for heading, slip in zip(table.headings, row.slips, strict=False):
            if slip:
                place = " ".join(dict.fromkeys((heading.group, heading.title)))
                found[row.source, row.origin, row.note].append(f"{row.title}, {place}: {slip}")
    return found


def parts(headings: Sequence[Heading], fits: Callable[[list[int]], bool]) -> list[list[int]]:
    """The columns (by number) in as many parts as `fits` asks for; groups stay whole if they can.

    A part always holds at least one column.
    """
    return _parted(blocks(headings), fits)


def averages_first(
    headings: Sequence[Heading], fits: Callable[[list[int]], bool]
) -> list[list[int]]:
    """The same with all that sums up in front: in parts of its own, unless everything fits."""
    order = sorted(range(len(headings)), key=lambda number: not headings[number].summary)
    if fits(order):
        return [order]
    count = sum(heading.summary for heading in headings)
    return [
        part
        for kind in (order[:count], order[count:])
        for part in _parted(
            [[kind[i] for i in block] for block in blocks([headings[n] for n in kind])], fits
        )
    ]


def _parted(groups: Sequence[list[int]], fits: Callable[[list[int]], bool]) -> list[list[int]]:
    found: list[list[int]] = [[]]
    for block in groups:
        pieces = [block] if fits(block) else [[number] for number in block]
        for piece in pieces:
            if found[-1] and not fits([*found[-1], *piece]):
                found.append([])
            found[-1] += piece
    return [part for part in found if part]


def blocks(headings: Sequence[Heading]) -> list[list[int]]:
    """The columns (by number) by group."""
    found: list[list[int]] = []
    for number, heading in enumerate(headings):
        if not number or heading.group != headings[number - 1].group:
            found.append([])
        found[-1].append(number)
    return found
