"""JSON, the tables as plain data."""

from __future__ import annotations

import json
from collections.abc import Sequence

from promptbench.api import Format, Table
from promptbench.report import flat


class Json(Format):
    title, suffix = "JSON", ".json"

    def render(self, tables: Sequence[Table]) -> str:
        """Return a list of tables, with the numbers of the CSV."""
        plain = [flat.plain(table) for table in tables]
        return json.dumps(plain, indent=1, ensure_ascii=False) + "\n"
