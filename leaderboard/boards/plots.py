"""What the plots of a board draw: which of them make sense, and their numbers as plain data."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from promptbench.core.metric import Metric
from promptbench.figures import looks
from promptbench.leaderboard.boards.board import Board, BoardColumn, BoardRow
from promptbench.leaderboard.boards.leaders import average_over
from promptbench.report import published
from promptbench.report.series import looks_of
from promptbench.report.text import spread
from promptbench.statistics import Estimate
from promptbench.support.prose import counted
from promptbench.support.safe_text import printable

VENDORED = ("vendor/d3.min.js", "vendor/plot.umd.min.js")
SCRIPTS = ("plot-layout.js", "plot-looks.js", "plots.js", "plot-kinds.js", "plot-section.js")
METHODS = "../methods/"  # from a page with plots
REFERENCE = "zero-shot"  # the paradigm that others are compared with: a line, not a point
_BEST = "Of more than ten methods the best ten, and those chosen in the legend, have colours."
_SEVERAL = "Methods with several counts of shots."
_HIGHER = "Hover or focus a point for its numbers; a click opens the method."


def plots_of(board: Board) -> dict[str, Any]:
    """`plots`: kind, title and text of each; `data`: what the scripts draw from."""
    main, metric = board.columns[0], board.metric
    name = f"{main.group}, {main.title}" if main.group else main.title
    averages = {c.title: c.key for c in board.columns if c.summary}
    per_dataset = _per_dataset(board.columns)
    shots = sorted({row.shots for row in board.rows})
    most = "At the largest count of shots shown. " if len(shots) > 1 else ""
    plots = []
    if {"base", "new"} <= set(averages):
        curves = "Dashed: equal harmonic mean. " if metric.harmonic else ""
        plots.append(_plot("base-new", "Base against new", curves + _HIGHER))
    if len(shots) > 1:
        plots.append(_plot("shots", f"{name} over shots", f"{_SEVERAL} {_BEST} {_HIGHER}"))
    if len(per_dataset) > 1:
        what = main.title if _ranking(board.columns) else metric.title.capitalize()
        plots.append(_plot("datasets", f"{what} per dataset", f"{most}{_BEST} {_HIGHER}"))
    if sum(row.parameters is not None for row in board.rows) > 1:
        text = "Logarithmic scale; for numbers of papers, what the method's card states."
        plots.append(_plot("parameters", f"{name} against trained parameters", most + text))
    if any(row.seconds for row in board.rows) and len(machines := _machines(board)) == 1:
        device, threads = machines.pop()
        text = f"Mean seconds of one training on {device} with {counted(threads, 'CPU thread')}."
        plots.append(_plot("time", f"{name} against training time", most + text))
    bars = bars_note(e for row in board.rows for e in row.values.values())
    if plots and bars:
        plots[0]["text"] += f" {bars}"
    return {
        "plots": plots,
        "data": {
            "metric": metric_data(metric),
            **look(row.method for row in board.rows),
            "methods": METHODS,
            "main": {"key": main.key, "label": name},
            "base": averages.get("base"),
            "new": averages.get("new"),
            "datasets": per_dataset,
            "shots": shots,
            "rows": [_row(row, average_over(row, board), metric.decimals) for row in board.rows],
        },
    }


def metric_data(metric: Metric) -> dict[str, Any]:
    """What plots know of a metric; bounds that are not finite are None."""
    return {
        "title": metric.title,
        "short": metric.short,
        "label": metric.label,
        "unit": metric.in_unit,
        "whole": metric.whole,
        "decimals": metric.decimals,
        "harmonic": metric.harmonic,
        "higher": metric.higher,
        "bounds": [end if math.isfinite(end) else None for end in metric.bounds],
    }


def colours(methods: Iterable[str]) -> dict[str, str]:
    """The variable of each method's colour, which hangs on its name only (`palette`)."""
    return {name: f"--m{looks.place_of(name)}" for name in sorted(set(methods))}


def look(methods: Iterable[str]) -> dict[str, dict[str, str]]:
    """The `colours` of methods, and their `markers` as matplotlib calls them: together they tell
    methods apart, as in all figures."""
    own = sorted(set(methods))
    found = looks_of([*published.methods(), *own])
    return {"colours": colours(own), "markers": {name: found[name].marker for name in own}}


def palette() -> str:
    """The style sheet of the colours of methods, which are those of all figures: on white, and on
    dark pages."""

    def rule(selector: str, own: Iterable[str]) -> str:
        return f"{selector} {{ {' '.join(f'--m{i}: {c};' for i, c in enumerate(own))} }}"

    dark = rule(':root:not([data-theme="light"])', looks.DARK_COLOURS)
    return "\n".join(
        (
            "/* The colours of methods, by name; the same as in figures. */",
            rule(":root", looks.COLOURS),
            rule(':root[data-theme="dark"]', looks.DARK_COLOURS),
            f"@media (prefers-color-scheme: dark) {{\n  {dark}\n}}\n",
        )
    )


def value(estimate: Estimate, decimals: int) -> list[Any]:
    """Mean, ends of the interval or None, and the spread as text. The values of two seeds are no
    interval: they are said, and not drawn."""
    ends = None if estimate.half_width is None else estimate.interval
    return [estimate.mean, ends, spread(estimate, decimals)]


def bars_note(values: Iterable[Estimate]) -> str:
    """What the bars of plots are; and what has none."""
    found = list(values)
    notes = []
    if any(each.half_width is not None for each in found):
        notes.append("Bars: 95% interval over seeds, which ends where values end.")
    if any(each.span is not None for each in found):
        notes.append("Of two seeds, too few for an interval, the tip says both values.")
    return " ".join(notes)


def _machines(board: Board) -> set[tuple[str, int]]:
    """Where the board's records were computed; seconds of several devices share no plot."""
    records = [v.record for row in board.rows for v in row.accepted if v.record]
    environments = [record.environment for record in records]
    return {(printable(each.device) or "one device", each.threads) for each in environments}


def _plot(kind: str, title: str, text: str) -> dict[str, str]:
    return {"kind": kind, "title": title, "text": text}


def _per_dataset(columns: tuple[BoardColumn, ...]) -> list[dict[str, str]]:
    """The ranking quantity of each dataset: key and the dataset's name."""
    same = _ranking(columns)
    single = same or [c for c in columns if not c.summary]
    return [{"key": c.key, "label": c.group if same else c.title} for c in single]


def _ranking(columns: tuple[BoardColumn, ...]) -> list[BoardColumn]:
    """The columns of datasets in the quantity that methods are ranked by, such as HM."""
    return [c for c in columns if not c.summary and c.title == columns[0].title]


def _row(row: BoardRow, over: str, decimals: int) -> dict[str, Any]:
    return {
        "id": row.id,
        "method": row.method,
        "title": row.marked_title,
        "paradigm": row.paradigm,
        "track": row.track,
        "source": row.source,
        "over": over,
        "state": row.state,
        "preset": row.preset,
        "inference": row.inference,
        "rule": row.rule,
        "backbone": row.backbone,
        "shots": row.shots,
        "n": row.n,
        "split": row.uses_split,
        "parameters": row.parameters,
        "seconds": row.seconds,
        "reference": row.paradigm == REFERENCE,
        "values": {key: value(each, decimals) for key, each in row.values.items()},
    }
