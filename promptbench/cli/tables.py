"""Tables of records as commands print and plot them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from promptbench.cli import streams
from promptbench.cli.options import tell_figure
from promptbench.errors import UserError

if TYPE_CHECKING:
    from promptbench.figures.style import Page


def allowed(scorers: Any, records: Any) -> Any:
    """The metrics of "all" that records allow; without records those that papers print. The others
    are named."""
    from promptbench.core.metric import DEFAULT
    from promptbench.records import scores

    if not records:
        return [scorer for scorer in scorers if scorer.metric.name == DEFAULT]
    found, without = scores.allowed(scorers, records)
    if without:
        shorts = ", ".join(metric.short for metric in without)
        click.echo(f"note: no record has a value of {shorts}: left out of all metrics", err=True)
    return found


def print_tables(
    records: Any, titles: Any, metrics: Any, places: Sequence[Path], only_allowed: bool = False
) -> None:
    """Print the tables of records that lie in these folders, metric by metric; of `metrics` only
    those that the records allow, if it is said."""
    from promptbench.records import scores
    from promptbench.report import assemble

    scorers = scores.scorers(metrics, partial(scores.folders, places))
    wanted = allowed(scorers, records) if only_allowed else scorers
    show([t for s in wanted for t in assemble.of_records(records, titles=titles, scorer=s)], None)


def show(tables: Any, form: str | None, whole: bool = False) -> None:
    """Print tables in a format, by default for the terminal; `whole`: with what it folds."""
    from promptbench.report.format import TERMINAL, render

    name = form or TERMINAL
    streams.shown(name, render(name, tables, whole))


def show_costs(records: Any, scorers: Any, form: str | None, plot: Path | None, page: Page) -> None:
    """Print what the rows of the report cost, device by device, and plot it."""
    from promptbench.report.costs import efficiency, efficiency_grid
    from promptbench.report.costs.efficiency_plot import efficiency_plot
    from promptbench.report.format import TERMINAL, render_grids

    tables = [table for scorer in scorers for table in efficiency.costs(records, scorer)]
    name = form or TERMINAL
    streams.shown(name, render_grids(name, [*map(efficiency_grid.grid, tables)]))
    for number, table in enumerate(tables if plot is not None else (), 1):
        assert plot is not None, "there is one to draw"
        again = f"-{number}" if len(tables) > 1 else ""
        tell_figure(efficiency_plot(table, plot.with_name(f"{plot.name}{again}"), page), page)


def show_seeds(records: Any, scorers: Any, form: str | None) -> None:
    """Print the values of every seed, metric by metric."""
    from promptbench.report import per_seed
    from promptbench.report.format import TERMINAL, render_grids

    grids = [grid for scorer in scorers for grid in per_seed.of_seeds(records, scorer)]
    name = form or TERMINAL
    streams.shown(name, render_grids(name, grids))


def plot(tables: Any, prefix: Path, page: Page) -> None:
    """The metric over shots of the tables that show several, mean ranks of those with many datasets
    ."""
    from promptbench.core.registry import PROTOCOLS
    from promptbench.report.comparing.critical import can_draw, critical_difference_plot
    from promptbench.report.plot import shots_plot

    figures = [
        (f"{suffix}{_metric_suffix(table)}", draw, table)
        for table in tables
        for suffix, draw, wanted in (
            ("", shots_plot, PROTOCOLS.load(table.protocol).cls.shots_together),
            ("-ranks", critical_difference_plot, can_draw(table)),
        )
        if wanted
    ]
    if not figures:
        raise UserError(
            "--plot needs records of a protocol with several shots, such as few_shot, or of at "
            "least ten datasets and three methods that have them all"
        )
    counts: dict[str, int] = {}
    for suffix, draw, table in figures:
        counts[suffix] = counts.get(suffix, 0) + 1
        again = f"-{counts[suffix]}" if counts[suffix] > 1 else ""
        tell_figure(draw(table, prefix.with_name(f"{prefix.name}{suffix}{again}"), page), page)


def _metric_suffix(table: Any) -> str:
    from promptbench.core.metric import DEFAULT

    return "" if table.metric.name == DEFAULT else f"-{table.metric.name}"
