"""CSV with one row per cell, for programs and spreadsheets."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from promptbench.api import Format, Table
from promptbench.report import flat


class Csv(Format):
    title, suffix = "CSV", ".csv"

    def render(self, tables: Sequence[Table]) -> str:
        """Return one row per cell of the tables: ours with spread and n, published ones with their
        source and the difference (ours minus published); `flat.FIELDS` are the columns.

        Empty fields are numbers that do not exist. No text is a formula to a spreadsheet.
        """
        out = io.StringIO()
        rows = csv.DictWriter(out, flat.FIELDS, lineterminator="\n")
        rows.writeheader()
        for facts in flat.rows(tables):
            rows.writerow({name: flat.safe(value) for name, value in facts.items()})
        return out.getvalue()
