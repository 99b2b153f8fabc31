"""The formats of `promptbench report` that are text to be saved; the terminal's is `terminal`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from promptbench.report import flat, html, latex, markdown
from promptbench.report.table import Table

FORMATS: dict[str, Callable[[Sequence[Table]], str]] = {
    "markdown": lambda tables: "\n".join(map(markdown.write, tables)),
    "latex": lambda tables: "\n".join(map(latex.write, tables)),
    "csv": flat.to_csv,
    "json": flat.to_json,
    "html": html.write,
}
