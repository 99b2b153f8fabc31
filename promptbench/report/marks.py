"""Who is best in each column of a table: bold, underlined, and what a test separates."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from promptbench.core.metric import Metric
from promptbench.mixing import Variant
from promptbench.report import tracks
from promptbench.report.table import Row
from promptbench.statistics import ENOUGH_SEEDS, standings


def marked(
    rows: Mapping[Variant, Row], metric: Metric, on_one_data: bool = True
) -> tuple[dict[Variant, Row], list[str]]:
    """The rows with their marks, and the notes that explain these.

    Rows compete with those of their track, by what they learn from and by what their settings were
    chosen by. Rows that use split knowledge or score a part of the
    images do not compete, and none does where rows have not scored the same images (`on_one_data`
    is false).
    """
    if not on_one_data:
        return dict(rows), ["rows on other images or class names cannot be compared: no marks"]
    variants = list(rows)
    competing = [not rows[v].uses_split and not v.limit for v in variants]
    count = max((len(row.entries) for row in rows.values()), default=0)
    columns = [
        [
            rows[v].entries[n]
            if c and rows[v].track == track and tracks.compete(rows[v].settings, settings)
            else None
            for v, c in zip(variants, competing, strict=True)
        ]
        for track, settings in _tracks(list(rows.values()))
        for n in range(count)
    ]
    found, tests = standings(columns, metric.higher, metric.decimals)
    new = {
        v: dataclasses.replace(
            rows[v],
            best=frozenset(n % count for n, s in enumerate(found) if row in s.best),
            second=frozenset(n % count for n, s in enumerate(found) if row in s.second),
            separated=frozenset(n % count for n, s in enumerate(found) if row in s.separated),
        )
        for row, v in enumerate(variants)
    }
    return new, _notes(list(new.values()), tests, metric)


def _tracks(rows: Sequence[Row]) -> list[tuple[str, str]]:
    """The tracks of rows; a method without settings makes none of its own beside others."""
    found = dict.fromkeys((row.track, row.settings) for row in rows)
    with_settings = {track for track, settings in found if settings != tracks.ANY_SETTINGS}
    return [
        (track, settings)
        for track, settings in found
        if settings != tracks.ANY_SETTINGS or track not in with_settings
    ]


def _notes(rows: Sequence[Row], tests: int, metric: Metric) -> list[str]:
    if not any(row.best for row in rows):
        return []
    best = "best" if metric.higher else "best (lowest)"
    notes = [f"bold: {best}, underlined: second best of a column; equal numbers share the mark"]
    if len({row.track for row in rows if any(row.entries)}) > 1:
        notes[0] += "; rows of different tracks (what a method learns from) do not compete"
    if len(_tracks([row for row in rows if any(row.entries)])) > len({row.track for row in rows}):
        notes[0] += "; rows whose settings were chosen by different budgets or rules do not compete"
    short = [e for row in rows for e in row.entries if e is not None and e.n < ENOUGH_SEEDS]
    if short and tests:
        notes[0] += f"; where two rows have {ENOUGH_SEEDS} seeds, only such rows compete"
    paired = "paired t-tests over seeds"
    over = f"Holm over the {tests} pairs of rows of the table, p < 0.05"
    if not tests:
        notes.append(
            f"bold may be chance: {paired} need {ENOUGH_SEEDS} seeds in common that differ"
        )
    elif any(row.separated for row in rows):
        notes.append(f"‡ separated from the best by {paired} ({over}); others may be chance")
    else:
        notes.append(f"bold may be chance: {paired} separate no row from the best ({over})")
    return notes
