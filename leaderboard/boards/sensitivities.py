"""How much methods depend on their settings, for their pages: from the searches behind records."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from promptbench.leaderboard.checking.verdicts import Verdict
from promptbench.records import Record
from promptbench.report.grid import Grid
from promptbench.report.sensitivities import sensitivity_section

FOLDER = "sensitivity"
_SIZE = re.compile(r'<svg [^>]*?width="([\d.]+)pt" height="([\d.]+)pt"')


def collect(accepted: Sequence[Verdict], out: Path) -> dict[str, list[dict[str, Any]]]:
    """Draw the figures to the site `out`; what the page of each method with searches shows."""
    by_method: dict[str, list[Record]] = defaultdict(list)
    for verdict in accepted:
        if verdict.record is not None and sensitivity_section.is_tuned(verdict.record):
            by_method[verdict.record.method.name].append(verdict.record)
    return {
        method: [
            {
                "title": each.title,
                "tables": [_table(grid) for grid in each.grids],
                "notes": each.notes,
                "picture": (f"{FOLDER}/{each.figure.name}", *_size(each.figure))
                if each.figure
                else None,
            }
            for each in sensitivity_section.of_records(records, out / FOLDER / method)
        ]
        for method, records in by_method.items()
    }


def _size(figure: Path) -> tuple[int, int]:
    """Width and height of an SVG in pixels, so that a page does not jump when it comes."""
    found = _SIZE.search(figure.read_text(encoding="utf-8"))
    assert found is not None, "drawn just now, in points"
    width, height = (round(float(points) * 96 / 72) for points in found.groups())
    return width, height


def _table(grid: Grid) -> dict[str, Any]:
    return {
        "title": grid.title,
        "head": grid.head,
        "columns": grid.columns,
        "rows": [(row.title, row.cells) for row in grid.rows],
        "notes": grid.notes,
    }
