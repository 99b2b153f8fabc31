"""The plot of a metric over shots, as PNG and SVG. Needs the extra `plot` (matplotlib)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from promptbench.errors import UserError
from promptbench.figures.sheet import aside, asides, finish, handle, sheet
from promptbench.figures.style import Page, styled
from promptbench.report.series import styles_of
from promptbench.report.table import Row, Table
from promptbench.report.text import MIXED, bars_note

_WIDTH, _HEIGHT, _MOST_ACROSS = 2.7, 2.2, 4  # inches of a panel
_APART = 16.0  # points within which methods stand side by side at a number of shots
Series = tuple[Row, dict[str, Any], float]  # its style, points beside its place


def shots_plot(table: Table, prefix: Path, on: Page | None = None) -> list[Path]:
    """Write `prefix`.png and `prefix`.svg: one panel per dataset, the average first.

    Raises:
        UserError: matplotlib is missing, a table without several numbers of shots, or a folder
            that cannot be written.
    """
    if len({heading.shots for heading in table.headings}) < 2:
        raise UserError(
            f"{table.protocol}: a shots plot needs records with at least two numbers of shots"
        )
    with styled(on):
        panels = _panels(table)
        figure, axes = sheet(len(panels), _MOST_ACROSS, _WIDTH, _HEIGHT)
        series = _series(table)
        for axis, (title, columns) in zip(axes, panels.items(), strict=True):
            for row, style, points in series:
                _line(axis, table, row, columns, style, points)
            _axes(axis, sorted({table.headings[number].shots for number in columns}))
            axis.set_title(title, parse_math=False)
        across = axes[0].get_gridspec().ncols
        for axis in axes[::across]:
            axis.set_ylabel(table.metric.heading, parse_math=False)
        for axis in axes[-across:]:
            axis.set_xlabel("shots")
        entries = (e for row in table.rows if row.kind == "ours" for e in row.entries if e)
        heading = "\n".join(filter(None, (table.banner, table.title, bars_note(entries))))
        named = {_label(row): handle(style) for row, style, _ in series if any(row.entries)}
        return finish(figure, named, heading, prefix)


def _series(table: Table) -> list[Series]:
    """Our rows side by side; papers' dotted and hollow, in the colour of their method."""
    ours = [row for row in table.rows if row.kind == "ours"]
    styles = styles_of([_method(row) for row in ours])
    found: list[Series] = []
    for row, style, points in zip(ours, styles, asides(len(ours), _APART), strict=True):
        found.append((row, style | ({"alpha": 0.55} if row.uses_split else {}), points))
    published = [row for row in table.rows if row.kind == "published"]
    for row, style in zip(published, styles_of([_method(row) for row in published]), strict=True):
        dotted = {"linestyle": ":", "linewidth": 1, "fillstyle": "none", "markersize": 3}
        found.append((row, style | dotted, 0.0))
    return found


def _method(row: Row) -> str:
    return row.variant.method if row.variant is not None else row.title


def _panels(table: Table) -> dict[str, list[int]]:
    """Panel title -> its columns, one per number of shots; summaries first."""
    found: dict[str, list[int]] = {}
    for summary in (True, False):
        for number, heading in enumerate(table.headings):
            if heading.summary == summary:
                found.setdefault(heading.title, []).append(number)
    return found


def _axes(axis: Any, shots: list[int]) -> None:
    positive = [count for count in shots if count > 0]
    if positive == shots:
        axis.set_xscale("log", base=2)
    else:  # no shots at all have no logarithm
        axis.set_xscale("symlog", base=2, linthresh=min(positive, default=1))
    axis.set_xticks(shots, [str(count) for count in shots])
    axis.minorticks_off()
    axis.margins(x=0.12)


def _line(
    axis: Any, table: Table, row: Row, columns: list[int], style: dict[str, Any], points: float
) -> None:
    drawn = [
        (table.headings[number].shots, entry.mean, entry.bars)
        for number in columns
        if (entry := row.entries[number]) is not None
    ]
    if not drawn:
        return
    shots, means, bars = zip(*drawn, strict=True)
    ends = [(x, y) for x, m, (down, up) in drawn for y in (m - down, m + up)]
    place = aside(axis, points, ends)
    if row.kind == "ours":
        lengths = list(zip(*bars, strict=True))
        look = {"capsize": 1.5, "elinewidth": 0.8} | style
        axis.errorbar(shots, means, lengths, transform=place, **look)
    else:
        axis.plot(shots, means, transform=place, **style)


def _label(row: Row) -> str:
    own = f"{row.title} {MIXED}" if row.mixed else row.title
    return own if row.kind == "ours" else f"{row.title}, published ({row.origin})"
