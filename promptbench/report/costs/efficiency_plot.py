"""The plot of costs against what they buy, as PNG and SVG. Needs the extra `plot` (matplotlib)."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from promptbench.errors import UserError
from promptbench.figures.looks import GREY
from promptbench.figures.sheet import finish, handle, sheet
from promptbench.figures.style import Page, styled
from promptbench.report.costs.efficiency import Cost, CostTable
from promptbench.report.series import styles_of

_AXES: tuple[tuple[str, Callable[[Cost], float | None]], ...] = (
    ("learned parameters", lambda row: row.parameters[1]),
    ("seconds per training", lambda row: row.training_seconds),
    ("peak memory (MiB)", lambda row: row.memory_mb),
    ("test images per second", lambda row: row.images_per_second),
)


def efficiency_plot(table: CostTable, prefix: Path, on: Page | None = None) -> list[Path]:
    """Write `prefix`.png and `prefix`.svg: the value of each row over four costs, logarithmic.

    A row that learns nothing is a dotted line in the panels of parameters and training, with its
    marker at the left.

    Raises:
        UserError: matplotlib is missing, no row has a value, or a folder cannot be written.
    """
    rows = [row for row in table.rows if row.value is not None]
    if not rows:
        raise UserError(
            f"no row of {table.place} has {table.value_label}, which a plot sets beside the costs; "
            "promptbench report shows what is missing"
        )
    with styled(on):
        figure, axes = sheet(len(_AXES), 2, 4.2, 2.8, sharey=True)
        styles = styles_of([row.method for row in rows])
        for row, style in zip(rows, styles, strict=True):
            style["linestyle"] = "none"
            if row.uses_split:
                style["alpha"] = 0.55
        for axis, (title, cost) in zip(axes, _AXES, strict=True):
            costs = [cost(row) for row in rows]
            for row, each, style in zip(rows, costs, styles, strict=True):
                _draw(axis, row, each, style)
            _costs_axis(axis, [each for each in costs if each], title)
        for axis in axes[:: axes[0].get_gridspec().ncols]:
            label = f"{table.value_label}{table.metric.in_unit}"
            axis.set_ylabel(label, parse_math=False)
        heading = "\n".join(filter(None, (table.banner, table.title, table.place)))
        entries: dict[str, Any] = {
            row.title: handle(style, "none") for row, style in zip(rows, styles, strict=True)
        }
        if any(not cost(row) for row in rows for _, cost in _AXES):
            entries["without this cost"] = handle({"color": GREY}, ":")
        return finish(figure, entries, heading, prefix)


def _costs_axis(axis: Any, costs: list[float], title: str) -> None:
    """A logarithmic axis, with labels at 1, 2 and 5 where it is short, at powers of ten else."""
    from matplotlib import ticker

    span = math.log10(max(costs) / min(costs)) if costs else 0
    axis.set_xscale("log")
    axis.margins(x=0.15)
    if costs and span < 0.05:  # one cost: an axis of its own would have no ticks
        axis.set_xlim(min(costs) / 2, max(costs) * 2)
    subs = (1, 2, 5) if span < 1.5 else (1,)
    axis.xaxis.set_major_locator(ticker.LogLocator(subs=subs, numticks=12))
    axis.xaxis.set_major_formatter(lambda value, _: _brief(value))
    axis.xaxis.set_minor_locator(ticker.NullLocator())
    axis.set_xlabel(title)


def _brief(value: float) -> str:
    """A number as ticks show it: 500, 20k, 1M."""
    for least, letter in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if value >= least:
            return f"{value / (1e3 if letter == 'k' else least):.6g}{letter}"
    return f"{value:.6g}"


def _draw(axis: Any, row: Cost, cost: float | None, style: dict[str, Any]) -> None:
    assert row.value is not None, "rows without a value are left out"
    if not cost:
        look = {"color": style["color"], "alpha": style.get("alpha")}
        axis.axhline(row.value.mean, linestyle=":", **look)
        axis.plot([0.03], [row.value.mean], transform=axis.get_yaxis_transform(), **style)
        return
    below, above = row.value.bars
    bars = {"elinewidth": 0.8, "capsize": 1.5}
    axis.errorbar([cost], [row.value.mean], [[below], [above]], **bars, **style)
