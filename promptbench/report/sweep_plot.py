"""Figures of a sweep, as PNG and SVG: a line for one setting, heat maps for several. Needs the
extra `plot` (matplotlib)."""

from __future__ import annotations

import ast
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from promptbench.errors import UserError
from promptbench.report.plot import matplotlib_pyplot, saved
from promptbench.report.style import COLOURS, plain, styled
from promptbench.report.sweep import Point, SweepTable
from promptbench.report.sweep_grid import choice_note
from promptbench.statistics import Estimate

_MOST_PANELS, _MOST_ACROSS = 24, 4
_WIDE = 20  # a logarithmic axis where values span so much

Panel = tuple[str, list[Point]]


def sweep_plot(table: SweepTable, prefix: Path) -> list[Path]:
    """Write `prefix`.png and `prefix`.svg: the table's last average over the swept settings.

    With one setting, a line for each method; with more, a heat map of the first two for each
    method and each combination of the others.

    Raises:
        UserError: matplotlib is missing, no method has the settings, more panels than a page
            holds, or a folder that cannot be written.
    """
    pyplot = matplotlib_pyplot()
    if not table.by_title():
        raise UserError(
            f"no method here has {' or '.join(table.settings)}, so nothing can be drawn"
        )
    with styled():
        figure = (_lines if len(table.settings) == 1 else _maps)(pyplot, table)
        heading = (table.banner, table.title, choice_note(table))
        figure.suptitle("\n".join(filter(None, heading)), fontsize=7, parse_math=False, wrap=True)
        return saved(figure, pyplot, prefix)


def _lines(pyplot: Any, table: SweepTable) -> Any:
    figure, axis = pyplot.subplots(figsize=(5.6, 4.2), layout="constrained")
    named = [point.values[0] for own in table.by_title().values() for point in own]
    places = _places(axis, [value for value in named if value is not None])
    for number, (title, points) in enumerate(table.by_title().items()):
        _line(axis, points, places, table.main, COLOURS[number % len(COLOURS)], title)
    axis.set_xlabel(table.settings[0], parse_math=False)
    axis.set_ylabel(f"{table.labels[table.main]}{table.metric.in_unit}", parse_math=False)
    axis.legend(fontsize=7)
    return figure


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
            axis.minorticks_off()
            return dict(zip(distinct, known, strict=True))
    axis.set_xticks(range(len(distinct)), [plain(value) for value in distinct])
    return {value: float(place) for place, value in enumerate(distinct)}


def _line(
    axis: Any,
    points: Sequence[Point],
    places: dict[str, float],
    column: int,
    colour: str,
    title: str,
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
    style = {"color": colour, "marker": "o", "markersize": 3.5, "linewidth": 1.2, "capsize": 2}
    axis.errorbar(xs, [entry.mean for entry in entries], bars, label=plain(title), **style)
    for x, entry, point in zip(xs, entries, own, strict=True):
        if point.best:
            axis.plot([x], [entry.mean], marker="*", markersize=11, color=colour)


def _maps(pyplot: Any, table: SweepTable) -> Any:
    panels = _panels(table)
    if len(panels) > _MOST_PANELS:
        raise UserError(
            f"a figure of this sweep would have {len(panels)} heat maps; sweep fewer settings, or "
            f"fewer values of those after the second, so that there are {_MOST_PANELS} at most"
        )
    across = min(len(panels), _MOST_ACROSS)
    down = math.ceil(len(panels) / across)
    size = (max(3.4 * across, 5.0), 2.9 * down + 0.9)
    figure, axes = pyplot.subplots(down, across, figsize=size, squeeze=False, layout="constrained")
    means = [e.mean for _, points in panels for p in points if (e := p.entries[table.main])]
    limits = (min(means) - 0.1, max(means) + 0.1) if means else (0.0, 1.0)
    image = None
    for axis, (title, points) in zip(axes.flat, panels, strict=False):
        image = _map(axis, points, table, limits)
        axis.set_title(title, fontsize=8, parse_math=False)
    for axis in axes.flat[len(panels) :]:
        axis.set_visible(False)
    label = f"{table.labels[table.main]}{table.metric.in_unit}"
    figure.colorbar(image, ax=axes, shrink=0.8).set_label(label, parse_math=False)
    return figure


def _panels(table: SweepTable) -> list[Panel]:
    """The points of each method and each combination of the settings after the second."""
    found: dict[str, list[Point]] = {}
    for title, points in table.by_title().items():
        for point in points:
            others = zip(table.settings[2:], point.values[2:], strict=True)
            told = ", ".join(f"{name.rpartition('.')[2]} = {value}" for name, value in others)
            found.setdefault("\n".join(filter(None, (title, told))), []).append(point)
    return list(found.items())


def _map(axis: Any, points: Sequence[Point], table: SweepTable, limits: tuple[float, float]) -> Any:
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
    for (row, column), (entry, point) in cells.items():
        dark = entry.mean < (low + high) / 2
        text = f"{entry.mean:.{table.metric.decimals}f}" + ("*" if point.best else "")
        colour = "white" if dark else "black"
        axis.text(column, row, text, ha="center", va="center", fontsize=7, color=colour)
    return image


def _size(value: str) -> float | None:
    """A number, None of anything else."""
    try:
        found = ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return None
    return float(found) if isinstance(found, int | float) and not isinstance(found, bool) else None
