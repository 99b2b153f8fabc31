"""JSON, the tables as plain data."""

from __future__ import annotations

import json
from collections.abc import Sequence

from promptbench.report import flat
from promptbench.report.format import Format
from promptbench.report.table import Table


class Json(Format):
    title, suffix = "JSON", ".json"

    def render(self, tables: Sequence[Table]) -> str:
        """Return a list of tables, with the numbers of the CSV."""
        plain = [flat.plain(table) for table in tables]
        return json.dumps(plain, indent=1, ensure_ascii=False) + "\n"
