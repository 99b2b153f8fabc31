"""The critical-difference diagram: mean ranks of methods over datasets, as PNG and SVG.

Needs the extra `plot` (matplotlib). Methods that Nemenyi's test does not tell apart are joined by a
bar (see `promptbench.statistics.datasets`).
"""

from __future__ import annotations

import math
from itertools import product
from pathlib import Path
from typing import Any

from promptbench.errors import UserError
from promptbench.figures.fitting import shortened, width_of, wrapped
from promptbench.figures.sheet import finish
from promptbench.figures.style import Page, ink, matplotlib_pyplot, page, styled
from promptbench.report import tracks
from promptbench.report.series import styles_of
from promptbench.report.table import Row, Table
from promptbench.statistics import ENOUGH_DATASETS, ENOUGH_METHODS, MeanRanks, mean_ranks

_WIDTH = 7.0  # inches
_STEP = 0.17  # inches between lines of text
_BAR = 0.1  # inches between bars
_TOP = -0.54  # inches above the scale, for the ranks and the critical difference
_SIDE = 0.36  # of the width at most, for the names of one side


def can_draw(table: Table) -> bool:
    """Whether a column of the table sums up enough datasets, for enough methods."""
    return table.on_one_data and bool(_panels(table))


def critical_difference_plot(table: Table, prefix: Path, on: Page | None = None) -> list[Path]:
    """Write `prefix`.png and `prefix`.svg: one panel per column that sums up ten datasets or more.

    Raises:
        UserError: matplotlib is missing, fewer than ten datasets or three complete rows that may be
            compared, rows on other images, or a folder that cannot be written.
    """
    if not table.on_one_data:
        raise UserError(
            f"{table.protocol}: rows on other images or class names cannot be compared, and "
            "have no critical-difference diagram"
        )
    panels = _panels(table)
    if not panels:
        raise UserError(
            f"{table.protocol}: a critical-difference diagram needs at least {ENOUGH_DATASETS} "
            f"datasets and {ENOUGH_METHODS} methods that have them all and may be compared"
        )
    with styled(on):
        wide = page().width or _WIDTH
        heights = [_bottom(found) - _TOP for _, _, found in panels]
        figure, axes = matplotlib_pyplot().subplots(
            len(panels), 1, figsize=(wide, sum(heights)), squeeze=False, height_ratios=heights,
            layout="constrained",
        )  # fmt: skip
        for axis, (title, rows, found) in zip(axes.flat, panels, strict=True):
            _draw(axis, title, rows, found)
        lines = sum(axis.get_title().count("\n") + 1 for axis in axes.flat)
        figure.set_figheight(sum(heights) + _STEP * lines + 0.2 * len(panels))
        heading = "\n".join(filter(None, (table.banner, table.title)))
        return finish(figure, {}, heading, prefix)


def _panels(table: Table) -> list[tuple[str, list[Row], MeanRanks]]:
    """The title, rows and mean ranks of each column that sums up enough datasets, for each group of
    rows that may be compared (`tracks.fields`)."""
    found = []
    own = [row for row in table.rows if row.kind == "ours"]
    fields = tracks.fields(own)
    for heading, (under, members) in product(table.headings, fields.items()):
        rows = [
            own[i]
            for i in members
            if all(own[i].entries[number] is not None for number in heading.members)
        ]
        if len(heading.members) >= ENOUGH_DATASETS and len(rows) >= ENOUGH_METHODS:
            scores = [
                [entry.mean for row in rows if (entry := row.entries[number]) is not None]
                for number in heading.members
            ]
            group = [tracks.called(under, fields)] if len(fields) > 1 else []
            title = ", ".join(dict.fromkeys((heading.group, heading.title, *group)))
            found.append((title, rows, mean_ranks(scores, table.metric.higher)))
    return found


def _first(found: MeanRanks) -> float:
    """Inches below the scale at which names begin, under the bars."""
    return 0.12 + _BAR * (len(found.groups()) + 1)


def _bottom(found: MeanRanks) -> float:
    """Inches below the scale at which the last names end: half of them stand at each side."""
    return _first(found) + _STEP * ((len(found.ranks) + 1) // 2) + 0.03


def _about(title: str, found: MeanRanks) -> str:
    return (
        f"{title}: mean rank over {found.datasets} datasets (1 is best). Friedman p = "
        f"{found.p:.2g}; bars: not distinguished (Nemenyi, 0.05)"
    )


def _draw(axis: Any, title: str, rows: list[Row], found: MeanRanks) -> None:
    """Ranks on a line, the best at the left; names beside it, bars under it.

    Distances are in inches: the middle of the panel is the scale of ranks, its sides hold names.
    """
    figure = axis.get_figure()
    many, wide = len(rows), float(figure.get_figwidth()) - 0.15
    names = [row.title for row in rows]
    longest = max(width_of(figure, f"{name} (00.00)", 8) for name in names)
    side = min(wide * _SIDE, longest + 0.1)
    styles = styles_of([row.variant.method if row.variant else row.title for row in rows])
    order = sorted(range(many), key=found.ranks.__getitem__)
    half = (many + 1) // 2
    groups = found.groups()

    best, worst = _scale(found)

    def at(rank: float) -> float:
        return side + 0.1 + (wide - 2 * side - 0.2) * (rank - best) / (worst - best)

    axis.set_xlim(0, wide)
    axis.set_ylim(_bottom(found), _TOP)
    axis.axis("off")
    axis.plot([at(best), at(worst)], [0, 0], color=ink(), linewidth=1)
    for rank in range(best, worst + 1, _every(worst - best, at(worst) - at(best))):
        axis.plot([at(rank)] * 2, [-0.05, 0], color=ink(), linewidth=1)
        axis.text(at(rank), -0.07, str(rank), ha="center", va="bottom")
    first = _first(found)
    for place, index in enumerate(order):
        left = place < half
        y = first + _STEP * (0.5 + (place if left else many - 1 - place))
        x = side if left else wide - side
        own = at(found.ranks[index])
        axis.plot([own, own, x], [0, y, y], color=styles[index]["color"], linewidth=0.8)
        shown = f" ({found.ranks[index]:.2f})"
        room = side - width_of(figure, shown, 8) - 0.05
        label = shortened(figure, names[index], room, 8) + shown
        axis.text(
            x + (-0.03 if left else 0.03), y, label, ha="right" if left else "left", va="center",
            parse_math=False,
        )  # fmt: skip
    for number, group in enumerate(groups):
        y = 0.12 + _BAR * (number + 0.5)
        ends = (at(found.ranks[group[0]]) - 0.03, at(found.ranks[group[-1]]) + 0.03)
        axis.plot(ends, [y, y], color=ink(), linewidth=2.5, solid_capstyle="butt")
    begin = at(best)
    _critical(axis, found, (begin, at(best + found.critical_difference) - begin), wide)
    text = wrapped(figure, _about(title, found), wide, 8.5)
    axis.set_title(text, parse_math=False)


def _scale(found: MeanRanks) -> tuple[int, int]:
    """The first and the last rank of the scale: as far as mean ranks lie, with room to show the
    critical difference."""
    many = len(found.ranks)
    best = math.floor(min(found.ranks))
    worst = max(math.ceil(max(found.ranks)), math.ceil(best + found.critical_difference), best + 1)
    if worst > many:
        return max(1, best - (worst - many)), max(many, 2)
    return best, worst


def _critical(axis: Any, found: MeanRanks, at: tuple[float, float], wide: float) -> None:
    """The critical difference to scale, above the ranks, with its text where there is room.

    Args:
        at: inches of the beginning of the scale, and of the critical difference.
    """
    low, long = at
    width = found.critical_difference
    begin = max(0.05, min(low, wide - 0.05 - long))
    y = -0.33
    axis.plot([begin, begin + long], [y, y], color=ink(), linewidth=1.5, marker="|", markersize=5)
    text = f"critical difference {width:.2f}"
    room = width_of(axis.get_figure(), text, 8)
    if begin + long + 0.08 + room <= wide:
        axis.text(begin + long + 0.08, y, text, va="center")
    elif begin - 0.08 - room >= 0:
        axis.text(begin - 0.08, y, text, va="center", ha="right")
    else:
        axis.text(begin + long / 2, y - 0.05, text, va="bottom", ha="center")


def _every(ranks: int, inches: float) -> int:
    """Which ranks bear their number, so that these do not touch."""
    return max(1, math.ceil(0.2 * ranks / max(inches, 0.1)))
