"""Printing and drawing how much methods depend on their settings, for `promptbench report`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from promptbench.cli import streams
from promptbench.cli.options import tell_figure

if TYPE_CHECKING:
    from promptbench.figures.style import Page
    from promptbench.records import Record


def show(records: Sequence[Record], form: str | None, plot: Path | None, page: Page) -> None:
    """Print the sensitivity of what was tuned, and draw it.

    Args:
        form: the report format; None: for the terminal.
        plot: the figures' names without their suffix; None: none are drawn.
        page: where figures go.
    """
    from promptbench.report.format import TERMINAL, render_grids
    from promptbench.report.sensitivities import sensitivity, sensitivity_grid
    from promptbench.report.sensitivities.importance import importance
    from promptbench.report.sensitivities.sensitivity_plot import sensitivity_plot

    name = form or TERMINAL
    found = sensitivity.of_records(records)
    known = [[importance(sample) for sample in each.samples] for each in found]
    for grids in (
        [sensitivity_grid.spread_grid(each) for each in found],
        [sensitivity_grid.importance_grid(*pair) for pair in zip(found, known, strict=True)],
    ):
        streams.shown(name, render_grids(name, grids))
    for number, (each, own) in enumerate(zip(found, known, strict=True), 1):
        if plot is not None:
            again = f"-{number}" if len(found) > 1 else ""
            prefix = plot.with_name(f"{plot.name}{again}")
            tell_figure(sensitivity_plot(each, own, prefix, page), page)
