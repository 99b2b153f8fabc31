"""What the figures share: series, colours that everybody can tell apart, axes, files."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from promptbench.analysis.rows import Number, average, curve, halves, label, select
from promptbench.report.plot import matplotlib_pyplot, saved
from promptbench.report.style import COLOURS as COLOURS  # part of this interface
from promptbench.report.style import GREY as GREY
from promptbench.report.style import plain as plain
from promptbench.report.style import styled as styled

MARKERS = ("o", "s", "^", "D", "v", "P", "X")
LINES = {"base": "-", "new": "--"}  # by target
FEATURES = {"cls": "CLS feature", "rep": "prompt-token feature"}
Drawn: TypeAlias = tuple[Any, dict[str, Any]]  # a figure, and its legend's entries by their text


@dataclass(frozen=True)
class Drawing:
    """The rows of a figure, and whether its series are methods (compared) or datasets.

    `names` are all series of a study, so that each has its colour in every figure.
    """

    rows: Sequence[Number]
    compared: bool
    names: Sequence[str]

    @classmethod
    def of_rows(cls, rows: Iterable[Number], compared: bool, names: Sequence[str]) -> Drawing:
        """A drawing in which whatever is not the base classes is new."""
        return cls(halves(rows), compared, names)

    def of(self, name: str, rows: Iterable[Number] | None = None) -> list[Number]:
        """The rows of a series."""
        return [
            row
            for row in (self.rows if rows is None else rows)
            if label(row, self.compared) == name
        ]

    def styled(self) -> list[tuple[str, dict[str, Any]]]:
        """The series that have rows, with their colours and markers."""
        present = {label(row, self.compared) for row in self.rows}
        return [
            (name, {"color": COLOURS[i % len(COLOURS)], "marker": MARKERS[i % len(MARKERS)]})
            for i, name in enumerate(self.names)
            if name in present
        ]


def sheet(down: int, across: int, width: float = 2.6, height: float = 2.4) -> tuple[Any, Any]:
    """A figure and its axes [down][across]; sizes are of a panel, in inches."""
    size = (width * across, height * down + 0.8)
    figure, axes = matplotlib_pyplot().subplots(
        down, across, figsize=size, squeeze=False, layout="constrained"
    )
    return figure, axes


def blocks(rows: Iterable[Number]) -> list[int]:
    """The blocks that rows are about, in order."""
    return sorted({row.block for row in rows if row.block is not None})


def line(
    axis: Any,
    rows: Iterable[Number],
    along: Callable[[Number], int | None],
    style: dict[str, Any],
    dashes: str = "-",
    name: str | None = None,
) -> None:
    """Averages along blocks or epochs, with their bars."""
    points = curve(rows, along)
    if not points:
        return
    places, means, bars = zip(*((x, e.mean, e.bars) for x, e in points), strict=True)
    axis.errorbar(
        places,
        means,
        list(zip(*bars, strict=True)),
        linestyle=dashes,
        linewidth=1.2,
        markersize=3.5,
        elinewidth=0.7,
        capsize=1.5,
        label=None if name is None else plain(name),
        fillstyle="full" if dashes == "-" else "none",
        **style,
    )


def dot(axis: Any, place: float, rows: list[Number], style: dict[str, Any], fill: str) -> None:
    """An average with its bar; nothing where the quantity is not defined."""
    found = average([row for row in rows if not math.isnan(row.value)])
    if found is not None:
        look = {"markersize": 4, "elinewidth": 0.7, "fillstyle": fill} | style
        bars = [[length] for length in found.bars]
        axis.errorbar(place, found.mean, bars, linestyle="", **look)


def over_training(
    drawing: Drawing,
    panels: list[tuple[str, dict[str, str], str, str]],
    targets: dict[str, str],
) -> tuple[Any, Any]:
    """A figure of curves over epochs, one panel per (quantity, columns, heading, unit), and its
    axes."""
    figure, (axes,) = sheet(1, len(panels))
    rows = [row for row in drawing.rows if row.epoch is not None and not row.item]
    for axis, (quantity, part, heading, unit) in zip(axes, panels, strict=True):
        for name, style in drawing.styled():
            for target, dashes in targets.items():
                own = select(drawing.of(name, rows), quantity=quantity, target=target, **part)
                line(axis, own, lambda row: row.epoch, style, dashes)
        axis.set_title(heading)
        axis.set_xlabel("epochs done")
        axis.set_ylabel(unit)
        if quantity == "ratio" or quantity == "magnitude_ratio":
            axis.axhline(1, color=GREY, linewidth=0.8, linestyle=":")
    return figure, axes


def finish(figure: Any, handles: dict[str, Any], title: str, prefix: Path) -> list[Path]:
    """Legend below, title above, and the figure as `prefix`.png and `prefix`.svg."""
    figure.legend(
        handles.values(),
        [plain(name) for name in handles],
        loc="outside lower center",
        ncols=_columns(handles, figure.get_figwidth()),
        fontsize=7,
        frameon=False,
    )
    figure.suptitle(title, fontsize=8, parse_math=False)
    return saved(figure, matplotlib_pyplot(), prefix)


def _columns(names: Iterable[str], width: float) -> int:
    """The columns of a legend that a figure has room for; inches, of the legend's small type."""
    lengths = [len(name) for name in names]
    room = int(width / (0.055 * max(lengths, default=0) + 0.5))
    return max(1, min(len(lengths), 5, room))


def handle(style: dict[str, Any], dashes: str = "-", fill: str = "full") -> Any:
    """A legend entry."""
    matplotlib_pyplot()
    from matplotlib.lines import Line2D

    look: dict[str, Any] = {
        "linestyle": dashes,
        "linewidth": 1.2,
        "markersize": 4,
        "fillstyle": fill,
    } | style
    return Line2D([], [], **look)


def legend(drawing: Drawing, extra: dict[str, Any] | None = None) -> dict[str, Any]:
    """The series, then what else is to be explained."""
    return {name: handle(style) for name, style in drawing.styled()} | (extra or {})


def base_new() -> dict[str, Any]:
    """Legend entries of the lines of base and of new classes."""
    black = {"color": "black", "marker": "o"}
    return {
        "base classes": handle(black, "-"),
        "new classes": handle(black, "--", "none"),
    }
