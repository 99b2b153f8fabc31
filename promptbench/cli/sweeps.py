"""Printing and drawing sweeps, for `promptbench run` and `promptbench report`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from promptbench.cli import streams
from promptbench.cli.options import tell_figure

if TYPE_CHECKING:
    from promptbench.figures.style import Page
    from promptbench.records import Record
    from promptbench.records.scores import Scorer


def show(
    records: Sequence[Record],
    settings: Sequence[str],
    scorers: Sequence[Scorer],
    form: str | None,
    plot: Path | None,
    page: Page,
) -> None:
    """Print a table per protocol and metric with the settings as columns, and draw it.

    Args:
        form: the report format; None: for the terminal.
        plot: the figures' names without their suffix; None: none are drawn.
        page: where figures go.
    """
    from promptbench.report.format import TERMINAL, render_grids
    from promptbench.report.sweeps import sweep, sweep_grid
    from promptbench.report.sweeps.sweep_plot import sweep_plot

    tables = [table for each in scorers for table in sweep.of_records(records, settings, each)]
    name = form or TERMINAL
    streams.shown(name, render_grids(name, [*map(sweep_grid.grid, tables)]))
    drawn = [table for table in tables if table.by_title()] or tables
    for number, table in enumerate(drawn if plot is not None else (), 1):
        assert plot is not None, "there is one to draw"
        again = f"-{number}" if len(drawn) > 1 else ""
        prefix = plot.with_name(f"{plot.name}{again}")
        tell_figure(sweep_plot(table, prefix, _say, page), page)


def _say(text: str) -> None:
    click.echo(f"note: {text}", err=True)
