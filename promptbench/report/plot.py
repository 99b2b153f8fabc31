"""The plot of a metric over shots, as PNG and SVG. Needs the extra `plot` (matplotlib)."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from promptbench.errors import UserError
from promptbench.report.table import Row, Table
from promptbench.report.text import MIXED, bars_note

_SIZE = 3.2  # inches per panel
_MOST_ACROSS = 4


def shots_plot(table: Table, prefix: Path) -> list[Path]:
    """Write `prefix`.png and `prefix`.svg: one panel per dataset, the average first.

    Raises:
        UserError: matplotlib is missing, a table without several numbers of shots, or a folder
            that cannot be written.
    """
    pyplot = matplotlib_pyplot()
    panels = _panels(table)
    if len({heading.shots for heading in table.headings}) < 2:
        raise UserError(
            f"{table.protocol}: a shots plot needs records with at least two numbers of shots"
        )
    across = min(len(panels), _MOST_ACROSS)
    down = math.ceil(len(panels) / across)
    size = (_SIZE * max(across, 2), _SIZE * down + 0.9)
    figure, axes = pyplot.subplots(down, across, figsize=size, squeeze=False, layout="constrained")
    labelled: dict[str, Any] = {}
    for axis, (title, columns) in zip(axes.flat, panels.items(), strict=False):
        _draw(axis, table, title, columns)
        handles, labels = axis.get_legend_handles_labels()
        labelled |= dict(zip(labels, handles, strict=True))
    for axis in axes.flat[len(panels) :]:
        axis.set_visible(False)
    axes[0][0].set_ylabel(table.metric.heading, parse_math=False)
    entries = (e for row in table.rows if row.kind == "ours" for e in row.entries if e)
    heading = "\n".join(filter(None, (table.banner, table.title, bars_note(entries))))
    figure.suptitle(heading, fontsize=8, parse_math=False)
    figure.legend(
        labelled.values(),
        labelled.keys(),
        loc="outside lower center",
        ncols=min(len(labelled), 2 * across if across < 3 else 4),
        fontsize=7,
    )
    return saved(figure, pyplot, prefix)


def matplotlib_pyplot() -> Any:
    """matplotlib without a display, set so that the same figure gives the same bytes.

    Raises:
        UserError: matplotlib is missing.
    """
    try:
        import matplotlib
    except ImportError as error:
        raise UserError(
            "the plot needs the package matplotlib: pip install 'promptbench-vlm[plot]'"
        ) from error
    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "promptbench"
    from matplotlib import pyplot

    return pyplot


def _panels(table: Table) -> dict[str, list[int]]:
    """Panel title -> its columns, one per number of shots; summaries first."""
    found: dict[str, list[int]] = {}
    for summary in (True, False):
        for number, heading in enumerate(table.headings):
            if heading.summary == summary:
                found.setdefault(heading.title, []).append(number)
    return found


def _draw(axis: Any, table: Table, title: str, columns: list[int]) -> None:
    ours = [row for row in table.rows if row.kind == "ours"]
    for number, row in enumerate(ours):
        colour = "0.6" if row.uses_split else f"C{number % 10}"
        _line(axis, table, row, columns, {"color": colour, "marker": "o", "markersize": 3.5})
    for row in table.rows:
        if row.kind == "published":
            number = next(i for i, own in enumerate(ours) if own.variant == row.variant)
            style = {"color": f"C{number % 10}", "linestyle": ":", "linewidth": 1}
            _line(axis, table, row, columns, style)
    shots = sorted({table.headings[number].shots for number in columns})
    axis.set_xscale("log", base=2)
    axis.set_xticks(shots, [str(count) for count in shots])
    axis.minorticks_off()
    axis.set_xlabel("shots")
    axis.set_title(title, fontsize=9, parse_math=False)
    axis.grid(alpha=0.3)


def _line(axis: Any, table: Table, row: Row, columns: list[int], style: dict[str, Any]) -> None:
    points = [
        (table.headings[number].shots, entry.mean, entry.bars)
        for number in columns
        if (entry := row.entries[number]) is not None
    ]
    if not points:
        return
    shots, means, bars = zip(*points, strict=True)
    if row.kind == "ours":
        axis.errorbar(
            shots, means, list(zip(*bars, strict=True)), capsize=2, label=_label(row), **style
        )
    else:
        axis.plot(shots, means, label=_label(row), **style)


def _label(row: Row) -> str:
    own = f"{row.title} {MIXED}" if row.mixed else row.title
    name = own if row.kind == "ours" else f"{row.title}, published ({row.origin})"
    return name.replace("$", r"\$").lstrip("_")  # matplotlib reads $ as mathematics


def saved(figure: Any, pyplot: Any, prefix: Path) -> list[Path]:
    """Write a figure as `prefix`.png and `prefix`.svg, and close it."""
    paths = [prefix.with_name(f"{prefix.name}.{form}") for form in ("png", "svg")]
    try:
        prefix.parent.mkdir(parents=True, exist_ok=True)
        for path in paths:
            metadata = {"Date": None} if path.suffix == ".svg" else {}
            figure.savefig(path, dpi=150, metadata=metadata)
    except OSError as error:
        raise UserError(f"cannot write {paths[0]}: {error.strerror or error}") from error
    finally:
        pyplot.close(figure)
    return paths
