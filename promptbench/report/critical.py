"""The critical-difference diagram: mean ranks of methods over datasets, as PNG and SVG.

Needs the extra `plot` (matplotlib). Methods that Nemenyi's test does not tell apart are joined by a
bar (see `promptbench.statistics.datasets`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from promptbench.errors import UserError
from promptbench.report.plot import matplotlib_pyplot, saved
from promptbench.report.table import Row, Table
from promptbench.statistics import ENOUGH_DATASETS, ENOUGH_METHODS, MeanRanks, mean_ranks

_WIDTH = 7.0  # inches
_STEP = 0.22  # inches between lines of text


def can_draw(table: Table) -> bool:
    """Whether a column of the table sums up enough datasets, for enough methods."""
    return bool(_panels(table))


def critical_difference_plot(table: Table, prefix: Path) -> list[Path]:
    """Write `prefix`.png and `prefix`.svg: one panel per column that sums up ten datasets or more.

    Raises:
        UserError: matplotlib is missing, fewer than ten datasets or three complete rows, or a
            folder that cannot be written.
    """
    pyplot = matplotlib_pyplot()
    panels = _panels(table)
    if not panels:
        raise UserError(
            f"{table.protocol}: a critical-difference diagram needs at least {ENOUGH_DATASETS} "
            f"datasets and {ENOUGH_METHODS} methods that have them all"
        )
    heights = [1.9 + _STEP * ((len(rows) + 1) // 2) for _, rows, _ in panels]
    figure, axes = pyplot.subplots(
        len(panels),
        1,
        figsize=(_WIDTH, sum(heights) + 0.5),
        squeeze=False,
        height_ratios=heights,
        layout="constrained",
    )
    for axis, (title, rows, found) in zip(axes.flat, panels, strict=True):
        _draw(axis, title, [row.title for row in rows], found)
    heading = "\n".join(filter(None, (table.banner, table.title)))
    figure.suptitle(heading, fontsize=8, parse_math=False)
    return saved(figure, pyplot, prefix)


def _panels(table: Table) -> list[tuple[str, list[Row], MeanRanks]]:
    """The title, competing rows and mean ranks of each column that sums up enough datasets."""
    found = []
    for heading in table.headings:
        rows = [
            row
            for row in table.rows
            if row.kind == "ours"
            and not row.uses_split
            and not (row.variant and row.variant[4])
            and all(row.entries[number] is not None for number in heading.members)
        ]
        if len(heading.members) >= ENOUGH_DATASETS and len(rows) >= ENOUGH_METHODS:
            scores = [
                [entry.mean for row in rows if (entry := row.entries[number]) is not None]
                for number in heading.members
            ]
            title = ", ".join(dict.fromkeys((heading.group, heading.title)))
            found.append((title, rows, mean_ranks(scores, table.metric.higher)))
    return found


def _draw(axis: Any, title: str, names: list[str], found: MeanRanks) -> None:
    """Ranks on a line, the best at the left; names beside it, bars under it."""
    many = len(names)
    order = sorted(range(many), key=found.ranks.__getitem__)
    half = (many + 1) // 2
    groups = found.groups()
    first = 0.35 + 0.18 * len(groups)  # where names begin, below the bars
    axis.set_xlim(1 - 0.75 * (many - 1), many + 0.75 * (many - 1))
    axis.set_ylim(first + 0.32 * half, -1.1)
    axis.axis("off")
    axis.plot([1, many], [0, 0], color="black", linewidth=1, clip_on=False)
    for rank in range(1, many + 1):
        axis.plot([rank, rank], [-0.08, 0], color="black", linewidth=1)
        axis.text(rank, -0.14, str(rank), ha="center", va="bottom", fontsize=7)
    for place, index in enumerate(order):
        left = place < half
        y = first + 0.32 * (place if left else many - 1 - place)
        x = 1 - 0.05 * many if left else many + 0.05 * many
        own = found.ranks[index]
        axis.plot([own, own, x], [0, y, y], color="0.3", linewidth=0.8)
        label = f"{names[index]} ({own:.2f})"
        axis.text(
            x, y, f" {label} ", ha="right" if left else "left", va="center", fontsize=7,
            parse_math=False,
        )  # fmt: skip
    for number, group in enumerate(groups):
        y = 0.2 + 0.18 * number
        ends = (found.ranks[group[0]] - 0.03, found.ranks[group[-1]] + 0.03)
        axis.plot(ends, [y, y], color="C0", linewidth=3, solid_capstyle="butt")
    width = found.critical_difference
    axis.plot([1, 1 + width], [-0.62, -0.62], color="C3", linewidth=1.5, clip_on=False)
    axis.text(1 + width + 0.05, -0.62, f"critical difference {width:.2f}", va="center", fontsize=7)
    axis.set_title(
        f"{title}: mean rank over {found.datasets} datasets (1 is best)\n"
        f"Friedman p = {found.p:.2g}; bars: not distinguished (Nemenyi, 0.05)",
        fontsize=7,
        parse_math=False,
    )
