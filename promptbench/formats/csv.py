"""CSV with one row per cell, for programs and spreadsheets."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from promptbench.api import Format, Grid, Table
from promptbench.report import flat


class Csv(Format):
    title, suffix = "CSV", ".csv"

    def render(self, tables: Sequence[Table]) -> str:
        """Return one row per cell of the tables: ours with spread and n, published ones with their
        source and the difference (ours minus published); `flat.FIELDS` are the columns.

        Empty fields are numbers that do not exist. No text is a formula to a spreadsheet.
        """
        return _written(flat.FIELDS, flat.rows(tables))

    def render_grids(self, grids: Sequence[Grid]) -> str:
        """Return one line per row of the grids, with the facts of its grid before its own."""
        lines = [{**grid.facts, **row.facts} for grid in grids for row in grid.rows]
        return _written(list(lines[0]) if lines else [], lines)


def _written(fields: Sequence[str], lines: Iterable[Mapping[str, Any]]) -> str:
    out = io.StringIO()
    rows = csv.DictWriter(out, fields, lineterminator="\n")
    rows.writeheader()
    for facts in lines:
        rows.writerow({name: flat.safe(value) for name, value in facts.items()})
    return out.getvalue()
