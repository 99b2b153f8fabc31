"""Figures of a sweep, as PNG and SVG: a line for one setting, heat maps for several. Needs the
extra `plot` (matplotlib)."""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from promptbench.errors import UserError
from promptbench.figures.sheet import aside, asides, finish, handle, sheet
from promptbench.figures.style import Page, plain, styled
from promptbench.report.series import styles_of
from promptbench.report.sweeps.sweep import Point, SweepTable
from promptbench.report.sweeps.sweep_grid import BEST, choice_note
from promptbench.statistics import Estimate
from promptbench.support.prose import counted

_MOST_PANELS, _MOST_ACROSS, _MOST_WIDE = 24, 4, 15.0  # panels, panels, inches
_BESIDE = 0.9  # inches of a heat map's labels
_FIELD, _LEAST_FIELD, _TALL_FIELD = 0.45, 0.14, 0.18  # inches: with its number, without; its height
_WIDE = 20  # a logarithmic axis where values span so much

Panel = tuple[str, list[Point]]
Say = Callable[[str], object]


def sweep_plot(table: SweepTable, prefix: Path, say: Say, on: Page | None = None) -> list[Path]:
    """Write `prefix`.png and `prefix`.svg: the table's last average over the swept settings.

    With one setting, a line for each method; with more, a heat map of the first two for each
    method and each combination of the others.

    Args:
        say: hears of heat maps whose fields are too small for their numbers.

    Raises:
        UserError: matplotlib is missing, no method has the settings, more panels than a page
            holds, or a folder that cannot be written.
    """
    if not table.by_title():
        raise UserError(
            f"no method here has {' or '.join(table.settings)}, so nothing can be drawn"
        )
    with styled(on):
        entries: dict[str, Any] = {}
        bare = maps = 0
        if len(table.settings) == 1:
            figure, entries = _lines(table)
        else:
            figure, bare, maps = _maps(table)
        heading = (table.banner, table.title, choice_note(table))
        paths = finish(figure, entries, "\n".join(filter(None, heading)), prefix)
    if bare:
        say(
            f"{paths[0]}: {bare} of {counted(maps, 'heat map')} without numbers, which are larger "
            "than their fields; the table has them"
        )
    return paths


def _lines(table: SweepTable) -> tuple[Any, dict[str, Any]]:
    figure, (axis,) = sheet(1, 1, 5.0, 3.2)
    by_title = table.by_title()
    named = [point.values[0] for own in by_title.values() for point in own]
    places = _places(axis, [value for value in named if value is not None])
    styles = styles_of([own[0].method or title for title, own in by_title.items()])
    shifts = asides(len(by_title))
    for points, style, shift in zip(by_title.values(), styles, shifts, strict=True):
        _line(axis, points, places, table.main, style, shift)
    axis.margins(x=0.08)
    axis.set_xlabel(table.settings[0], parse_math=False)
    axis.set_ylabel(f"{table.labels[table.main]}{table.metric.in_unit}", parse_math=False)
    return figure, {title: handle(style) for title, style in zip(by_title, styles, strict=True)}


def _places(axis: Any, values: Sequence[str]) -> dict[str, float]:
    """Where values stand on an axis: by size, logarithmic if they span much, else one by one."""
    distinct = list(dict.fromkeys(values))
    sizes = [_size(value) for value in distinct]
    known = [size for size in sizes if size is not None]
    if len(known) == len(sizes):
        positive = [size for size in known if size > 0]
        wide = len(positive) > 1 and max(positive) >= _WIDE * min(positive)
        if not wide or len(positive) == len(known):
            if wide:
                axis.set_xscale("log")
            axis.set_xticks(known, distinct)
            axis.set_xticks([], minor=True)
            return dict(zip(distinct, known, strict=True))
    axis.set_xticks(range(len(distinct)), [plain(value) for value in distinct])
    return {value: float(place) for place, value in enumerate(distinct)}


def _line(
    axis: Any,
    points: Sequence[Point],
    places: dict[str, float],
    column: int,
    style: dict[str, Any],
    shift: float,
) -> None:
    drawn = [
        (places[value], entry, point)
        for point in points
        if (value := point.values[0]) is not None and (entry := point.entries[column]) is not None
    ]
    if not drawn:
        return
    xs, entries, own = zip(*sorted(drawn, key=lambda each: each[0]), strict=True)
    bars = list(zip(*(entry.bars for entry in entries), strict=True))
    low, high = ([e.mean + sign * e.bars[k] for e in entries] for k, sign in ((0, -1), (1, 1)))
    place = aside(axis, shift, [*zip(xs, low, strict=True), *zip(xs, high, strict=True)])
    look = {"capsize": 1.5, "elinewidth": 0.8} | style
    axis.errorbar(xs, [entry.mean for entry in entries], bars, transform=place, **look)
    for x, entry, point in zip(xs, entries, own, strict=True):
        if point.best:
            star = {"marker": "*", "markersize": 10, "color": style["color"]}
            axis.plot([x], [entry.mean], transform=place, **star)


def _maps(table: SweepTable) -> tuple[Any, int, int]:
    """The figure, how many of its heat maps are without numbers, and how many there are."""
    panels = _panels(table)
    if len(panels) > _MOST_PANELS:
        raise UserError(
            f"a figure of this sweep would have {len(panels)} heat maps; sweep fewer settings, or "
            f"fewer values of those after the second, so that there are {_MOST_PANELS} at most"
        )
    rows, columns = (max(len({p.values[n] for p in own}) for _, own in panels) for n in (0, 1))
    width = max(3.0, _BESIDE + _FIELD * columns)
    height = max(2.0, 0.22 * rows + 1.0)
    least = max(2.2, _BESIDE + _LEAST_FIELD * columns)
    across = min(_MOST_ACROSS, int(_MOST_WIDE / width))
    figure, axes = sheet(len(panels), across, width, height, least)
    means = [e.mean for _, points in panels for p in points if (e := p.entries[table.main])]
    limits = (min(means) - 0.1, max(means) + 0.1) if means else (0.0, 1.0)
    image = None
    drawn: list[tuple[Any, list[Any]]] = []
    for axis, (title, points) in zip(axes, panels, strict=True):
        image, numbers = _map(axis, points, table, limits)
        drawn.append((axis, numbers))
        axis.set_title(title, parse_math=False)
    pad = 0.05 / axes[0].get_gridspec().nrows  # of the height of all panels
    bar = figure.colorbar(image, ax=axes, location="top", shrink=0.9, aspect=35, pad=pad)
    label = f"{table.labels[table.main]}{table.metric.in_unit}"
    bar.set_label(label, parse_math=False)
    _make_room(figure, axes, rows)
    bare = sum(_leave_out_numbers(axis, numbers) for axis, numbers in drawn)
    if bare:
        label += "; numbers that are larger than their fields are left out"
        bar.set_label(label, parse_math=False)
    return figure, bare, len(panels)


def _make_room(figure: Any, axes: Sequence[Any], rows: int) -> None:
    """Make a figure so high that the rows of its heat maps hold a line of text."""
    figure.draw_without_rendering()
    lowest = min(axis.bbox.height for axis in axes) / figure.dpi
    lacking = max(0.0, _TALL_FIELD * rows - lowest)
    figure.set_figheight(figure.get_figheight() + lacking * axes[0].get_gridspec().nrows)
    figure.draw_without_rendering()


def _leave_out_numbers(axis: Any, numbers: Sequence[Any]) -> bool:
    """Leave the numbers out where they are wider or higher than their fields, but not the star of
    the best; whether that was so."""
    if not numbers:
        return False
    wide = axis.bbox.width / (axis.get_xlim()[1] - axis.get_xlim()[0])
    tall = axis.bbox.height / abs(axis.get_ylim()[1] - axis.get_ylim()[0])
    boxes = [text.get_window_extent() for text in numbers]
    if max(box.width for box in boxes) * 1.1 <= wide and max(b.height for b in boxes) <= tall:
        return False
    for text in numbers:
        if text.get_text().endswith(BEST):
            text.set_text(BEST)
        else:
            text.remove()
    return True


def _panels(table: SweepTable) -> list[Panel]:
    """The points of each method and each combination of the settings after the second."""
    found: dict[str, list[Point]] = {}
    for title, points in table.by_title().items():
        for point in points:
            others = zip(table.settings[2:], point.values[2:], strict=True)
            told = ", ".join(f"{name.rpartition('.')[2]} = {value}" for name, value in others)
            found.setdefault("\n".join(filter(None, (title, told))), []).append(point)
    return list(found.items())


def _map(
    axis: Any, points: Sequence[Point], table: SweepTable, limits: tuple[float, float]
) -> tuple[Any, list[Any]]:
    """The image of a panel, and the numbers on it."""
    first, second = (list(dict.fromkeys(p.values[n] for p in points)) for n in (0, 1))
    cells: dict[tuple[int, int], tuple[Estimate, Point]] = {}
    for point in points:
        if (entry := point.entries[table.main]) is not None:
            cells[first.index(point.values[0]), second.index(point.values[1])] = entry, point
    means = [
        [cells[r, c][0].mean if (r, c) in cells else math.nan for c in range(len(second))]
        for r in range(len(first))
    ]
    low, high = limits
    image = axis.imshow(means, aspect="auto", cmap="viridis", vmin=low, vmax=high)
    axis.grid(False)
    axis.set_xticks(range(len(second)), [plain(str(value)) for value in second])
    axis.set_yticks(range(len(first)), [plain(str(value)) for value in first])
    axis.set_xlabel(table.settings[1], parse_math=False)
    axis.set_ylabel(table.settings[0], parse_math=False)
    numbers = []
    for (row, column), (entry, point) in cells.items():
        dark = entry.mean < (low + high) / 2
        text = f"{entry.mean:.{table.metric.decimals}f}" + (BEST if point.best else "")
        colour = "white" if dark else "black"
        place = {"ha": "center", "va": "center"}
        numbers.append(axis.text(column, row, text, color=colour, **place))
    return image, numbers


def _size(value: str) -> float | None:
    """A number, None of anything else."""
    try:
        found = ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return None
    return float(found) if isinstance(found, int | float) and not isinstance(found, bool) else None
