"""What the figures share: series, colours that everybody can tell apart, axes, files."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from promptbench.analysis.rows import Row, curve, label
from promptbench.report.plot import matplotlib_pyplot, saved

# Okabe & Ito (2008), without the yellow that vanishes on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
GREY = "0.45"
LINES = {"base": "-", "new": "--"}

_STYLE = {
    "font.size": 8,
    "axes.titlesize": 9,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "svg.fonttype": "none",  # text stays text
}


@dataclass(frozen=True)
class Drawing:
    """The rows of a figure, and whether its series are methods (compared) or data sets."""

    rows: Sequence[Row]
    compared: bool

    @classmethod
    def of_rows(cls, rows: Iterable[Row], compared: bool) -> Drawing:
        """A drawing in which whatever is not the base classes is new."""
        new = [r if r.target == "base" else dataclasses.replace(r, target="new") for r in rows]
        return cls(new, compared)

    def series(self) -> list[str]:
        """The names of the series, in the order of the rows."""
        return list(dict.fromkeys(label(row, self.compared) for row in self.rows))

    def of(self, name: str, rows: Iterable[Row] | None = None) -> list[Row]:
        """The rows of a series."""
        return [
            row
            for row in (self.rows if rows is None else rows)
            if label(row, self.compared) == name
        ]

    def styled(self) -> list[tuple[str, dict[str, Any]]]:
        """The series with their colours and markers."""
        return [
            (name, {"color": COLOURS[i % len(COLOURS)], "marker": MARKERS[i % len(MARKERS)]})
            for i, name in enumerate(self.series())
        ]


def plain(text: str) -> str:
    """Text that matplotlib does not read as mathematics, nor leaves out of a legend."""
    return text.replace("$", r"\$").lstrip("_")


def sheet(down: int, across: int, width: float = 2.6, height: float = 2.4) -> tuple[Any, Any]:
    """A figure and its axes [down][across]; sizes are of a panel, in inches."""
    pyplot = matplotlib_pyplot()
    with pyplot.rc_context(_STYLE):
        return pyplot.subplots(
            down,
            across,
            figsize=(width * across, height * down + 0.6),
            squeeze=False,
            layout="constrained",
        )


def line(
    axis: Any,
    rows: Iterable[Row],
    along: Callable[[Row], int | None],
    style: dict[str, Any],
    dashes: str = "-",
    name: str | None = None,
) -> None:
    """Averages along blocks or epochs; bars are 95% intervals over seeds."""
    points = curve(rows, along)
    if not points:
        return
    places, means, halves = zip(*((x, e.mean, e.half_width or 0.0) for x, e in points), strict=True)
    axis.errorbar(
        places,
        means,
        halves,
        linestyle=dashes,
        linewidth=1.2,
        markersize=3.5,
        elinewidth=0.7,
        capsize=1.5,
        label=None if name is None else plain(name),
        fillstyle="full" if dashes == "-" else "none",
        **style,
    )


def finish(figure: Any, handles: dict[str, Any], title: str, prefix: Path) -> list[Path]:
    """Legend below, title above, and the figure as `prefix`.png and `prefix`.svg."""
    pyplot = matplotlib_pyplot()
    with pyplot.rc_context(_STYLE):
        if handles:
            figure.legend(
                handles.values(),
                [plain(name) for name in handles],
                loc="outside lower center",
                ncols=min(len(handles), 5),
                fontsize=7,
                frameon=False,
            )
        figure.suptitle(title, fontsize=8, parse_math=False)
        return saved(figure, pyplot, prefix)


def handle(style: dict[str, Any], dashes: str = "-", fill: str = "full") -> Any:
    """A legend entry."""
    matplotlib_pyplot()
    from matplotlib.lines import Line2D

    return Line2D([], [], linestyle=dashes, linewidth=1.2, markersize=4, fillstyle=fill, **style)


def legend(drawing: Drawing, extra: dict[str, Any] | None = None) -> dict[str, Any]:
    """The series, then what else is to be explained."""
    return {name: handle(style) for name, style in drawing.styled()} | (extra or {})
