"""JSON, the tables as plain data."""

from __future__ import annotations

import json
from collections.abc import Sequence

from promptbench.api import Format, Grid, Table
from promptbench.report import flat


class Json(Format):
    title, suffix = "JSON", ".json"

    def render(self, tables: Sequence[Table]) -> str:
        """Return a list of tables, with the numbers of the CSV."""
        plain = [flat.plain(table) for table in tables]
        return json.dumps(plain, indent=1, ensure_ascii=False) + "\n"

    def render_grids(self, grids: Sequence[Grid]) -> str:
        """Return a list of grids with their facts, rows and notes."""
        plain = [
            {
                **grid.facts,
                "banner": grid.banner,
                "notes": grid.notes,
                "rows": [dict(row.facts) for row in grid.rows],
            }
            for grid in grids
        ]
        return json.dumps(plain, indent=1, ensure_ascii=False) + "\n"
