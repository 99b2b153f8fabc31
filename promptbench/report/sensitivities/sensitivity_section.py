"""Sensitivity of a page's records: for each search its tables and one figure as SVG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from promptbench.errors import UserError
from promptbench.records import Record
from promptbench.report.grid import Grid
from promptbench.report.sensitivities import sensitivity
from promptbench.report.sensitivities.importance import Importance, importance
from promptbench.report.sensitivities.sensitivity import Sensitivity
from promptbench.report.sensitivities.sensitivity_grid import importance_grid, spread_grid
from promptbench.report.sensitivities.sensitivity_plot import sensitivity_plot


@dataclass(frozen=True)
class Section:
    """What searches of one budget say; `figure` is None where none could be drawn, and `notes` say
    of that, and of importances that could not be computed, why."""

    title: str
    grids: tuple[Grid, ...]
    figure: Path | None
    notes: tuple[str, ...]


def is_tuned(record: Record) -> bool:
    """Whether a record's settings were chosen among several trials."""
    return record.tuning is not None and record.tuning.budget > 1


def of_records(records: Sequence[Record], prefix: Path) -> list[Section]:
    """The sections of all searches behind records; none without searches.

    Args:
        prefix: of the figures, whose folder is made; the first of several is `prefix`-1.svg.
    """
    own = [record for record in records if is_tuned(record)]
    found = sensitivity.of_records(own) if own else []
    return [
        _section(each, prefix.with_name(f"{prefix.name}-{number}"))
        for number, each in enumerate(found, 1)
    ]


def _section(found: Sensitivity, prefix: Path) -> Section:
    notes = []
    known: list[Importance | None] = [None] * len(found.samples)
    try:
        known = [importance(sample) for sample in found.samples]
    except UserError as error:  # an extra is missing: the rest stands without it
        notes.append(str(error))
    figure = None
    try:
        prefix.parent.mkdir(parents=True, exist_ok=True)
        (figure,) = (p for p in sensitivity_plot(found, known, prefix) if p.suffix == ".svg")
    except UserError as error:  # likewise, or more sources than a figure holds
        notes.append(f"no figure: {error}")
    grids = (spread_grid(found), importance_grid(found, known))
    return Section(found.title, grids, figure, tuple(notes))
