"""The plot of costs against what they buy, as PNG and SVG. Needs the extra `plot` (matplotlib)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from promptbench.errors import UserError
from promptbench.report.efficiency import Cost, CostTable
from promptbench.report.plot import matplotlib_pyplot, saved

_AXES: tuple[tuple[str, Callable[[Cost], float | None]], ...] = (
    ("learned parameters", lambda row: row.parameters[1]),
    ("seconds per training", lambda row: row.training_seconds),
    ("peak memory (MiB)", lambda row: row.memory_mb),
    ("test images per second", lambda row: row.images_per_second),
)


def efficiency_plot(table: CostTable, prefix: Path) -> list[Path]:
    """Write `prefix`.png and `prefix`.svg: the value of each row over four costs, logarithmic.

    A row that learns nothing is a dotted line in the panels of parameters and training.

    Raises:
        UserError: matplotlib is missing, no row has a value, or a folder cannot be written.
    """
    rows = [row for row in table.rows if row.value is not None]
    if not rows:
        raise UserError(
            f"no row of {table.place} has {table.value_label}, which a plot sets beside the costs; "
            "promptbench report shows what is missing"
        )
    pyplot = matplotlib_pyplot()
    from matplotlib import ticker

    figure, axes = pyplot.subplots(2, 2, figsize=(8.4, 7.0), layout="constrained", sharey=True)
    labelled: dict[str, Any] = {}
    for axis, (title, cost) in zip(axes.flat, _AXES, strict=True):
        for number, row in enumerate(rows):
            _draw(axis, row, cost(row), "0.6" if row.uses_split else f"C{number % 10}")
        axis.set_xscale("log")
        axis.xaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
        axis.xaxis.set_major_formatter(lambda value, _: f"{value:,.6g}")
        axis.xaxis.set_minor_formatter(ticker.NullFormatter())
        axis.set_xlabel(title)
        axis.grid(alpha=0.3)
        handles, labels = axis.get_legend_handles_labels()
        labelled |= dict(zip(labels, handles, strict=True))
    for axis in axes[:, 0]:
        axis.set_ylabel(f"{table.value_label}{table.metric.in_unit}", parse_math=False)
    heading = "\n".join(filter(None, (table.banner, table.title, table.place)))
    figure.suptitle(heading, fontsize=8, parse_math=False)
    figure.legend(
        labelled.values(), labelled.keys(), loc="outside lower center", ncols=4, fontsize=7
    )
    return saved(figure, pyplot, prefix)


def _draw(axis: Any, row: Cost, cost: float | None, colour: str) -> None:
    assert row.value is not None, "rows without a value are left out"
    label = row.title.replace("$", r"\$").lstrip("_")
    if not cost:
        axis.axhline(row.value.mean, color=colour, linestyle=":", label=label)
        return
    below, above = row.value.bars
    axis.errorbar(
        [cost],
        [row.value.mean],
        [[below], [above]],
        color=colour,
        marker="o",
        linestyle="none",
        capsize=2,
        label=label,
    )
