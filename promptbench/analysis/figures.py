"""What the figures share: series, colours that everybody can tell apart, axes, files."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from promptbench.analysis.rows import Number, average, curve, halves, label, select
from promptbench.figures import sheet as sheets
from promptbench.figures.looks import COLOURS as COLOURS  # part of this interface
from promptbench.figures.looks import GREY as GREY
from promptbench.figures.looks import MARKERS as MARKERS
from promptbench.figures.looks import Look, looks
from promptbench.figures.sheet import handle as handle
from promptbench.figures.style import Page as Page
from promptbench.figures.style import colour
from promptbench.figures.style import ink as ink
from promptbench.figures.style import plain as plain
from promptbench.figures.style import styled as styled
from promptbench.report.series import looks_of

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
        """The series that have rows, with their colours and markers: those of the method, or of the
        dataset, in every figure. A further row of a method has a marker that is free."""
        own = {label(row, self.compared): row.method for row in self.rows}
        present = [name for name in self.names if name in own]
        if not self.compared:
            found = looks(sorted(present))
            return [(name, _style(found[name].marker, colour(found[name]))) for name in present]
        known, seen, styles = looks_of(own.values()), set[str](), []
        used = {known[method] for method in own.values()}
        for name in present:
            look = known[own[name]]
            if own[name] in seen:
                free = (Look(look.place, marker) for marker in MARKERS)
                look = next((each for each in free if each not in used), look)
            seen.add(own[name])
            used.add(look)
            styles.append((name, _style(look.marker, colour(look))))
        return styles


def _style(marker: str, colour: str) -> dict[str, Any]:
    return {"color": colour, "marker": marker}


def sheet(
    down: int, across: int, width: float = 2.6, height: float = 2.4, least: float = 1.5
) -> tuple[Any, Any]:
    """A figure and its axes [down][across]; sizes are of a panel, in inches.

    In the column of a paper fewer panels stand side by side, in the same order, each `least` inches
    wide or more.
    """
    import numpy as np

    figure, axes = sheets.sheet(down * across, across, width, height, least)
    grid = np.empty(down * across, dtype=object)
    grid[:] = axes
    return figure, grid.reshape(down, across)


def label_sides(axes: Iterable[Any], labels: Sequence[str]) -> None:
    """Label the y axis of each panel, but for what the panel at its left says already."""
    before = ""
    for axis, text in zip(axes, labels, strict=True):
        if axis.get_subplotspec().is_first_col() or text != before:
            axis.set_ylabel(text)
        before = text


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
    for axis, (quantity, part, heading, _) in zip(axes, panels, strict=True):
        for name, style in drawing.styled():
            for target, dashes in targets.items():
                own = select(drawing.of(name, rows), quantity=quantity, target=target, **part)
                line(axis, own, lambda row: row.epoch, style, dashes)
        axis.set_title(heading)
        axis.set_xlabel("epochs done")
        axis.xaxis.get_major_locator().set_params(integer=True)
        if quantity == "ratio" or quantity == "magnitude_ratio":
            axis.axhline(1, color=GREY, linewidth=0.8, linestyle=":")
    label_sides(axes, [unit for *_, unit in panels])
    return figure, axes


def finish(figure: Any, handles: dict[str, Any], title: str, prefix: Path) -> list[Path]:
    """Legend below, title above, and the figure as `prefix`.png and `prefix`.svg, of a paper also
    as .pdf."""
    return sheets.finish(figure, handles, title, prefix)


def legend(drawing: Drawing, extra: dict[str, Any] | None = None) -> dict[str, Any]:
    """The series, then what else is to be explained."""
    return {name: handle(style) for name, style in drawing.styled()} | (extra or {})


def base_new() -> dict[str, Any]:
    """Legend entries of the lines of base and of new classes."""
    black = {"color": ink(), "marker": "o"}
    return {
        "base classes": handle(black, "-"),
        "new classes": handle(black, "--", "none"),
    }
