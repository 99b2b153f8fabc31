"""Who is best in each column of a table: bold, underlined, and what a test separates."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from promptbench.core.metric import Metric
from promptbench.mixing import Variant
from promptbench.report import tracks
from promptbench.report.table import Row
from promptbench.statistics import ENOUGH_SEEDS, standings
from promptbench.support.safe_text import printable


def marked(
    rows: Mapping[Variant, Row], metric: Metric, on_one_data: bool = True
) -> tuple[dict[Variant, Row], list[str]]:
    """The rows with their marks, and the notes that explain these.

    Rows compete within `tracks.fields`, and each has the marks of its home there. None competes
    where rows have not scored the same images (`on_one_data` is false).
    """
    if not on_one_data:
        return dict(rows), ["rows on other images or class names cannot be compared: no marks"]
    variants, given = list(rows), list(rows.values())
    fields = tracks.fields(given)
    homes = tracks.homes(fields)
    count = max((len(row.entries) for row in given), default=0)
    columns = [
        [row.entries[n] if i in members else None for i, row in enumerate(given)]
        for members in fields.values()
        for n in range(count)
    ]
    found, tests = standings(columns, metric.higher, metric.decimals)
    first = {under: place * count for place, under in enumerate(fields)}
    new = {}
    for i, variant in enumerate(variants):
        start = first[homes[i]] if i in homes else len(found)
        own = found[start : start + count]
        new[variant] = dataclasses.replace(
            given[i],
            best=frozenset(n for n, s in enumerate(own) if i in s.best),
            second=frozenset(n for n, s in enumerate(own) if i in s.second),
            separated=frozenset(n for n, s in enumerate(own) if i in s.separated),
        )
    shown = [row for row in new.values() if any(row.entries)]
    return new, [*_notes(shown, tests, metric), *_alone(shown)]


def _alone(rows: Sequence[Row]) -> list[str]:
    """Which rows of several have no mark because no other row may be compared with them."""
    fields = tracks.fields(rows)
    together = {i for members in fields.values() if len(members) > 1 for i in members}
    alone = {i: under for i, under in tracks.homes(fields).items() if i not in together}
    if len(rows) < 2 or not alone:
        return []
    named = (f"{rows[i].title} ({tracks.called(c, fields)})" for i, c in alone.items())
    return [printable(f"no mark, as no other row may be compared with it: {'; '.join(named)}")]


def _groups(rows: Sequence[Row]) -> list[str]:
    """Between what rows do not compete, where there is such; and which groups do."""
    fields = list(tracks.fields(rows))
    told = (
        (len({row.track for row in rows}), "of different tracks (what a method learns from)"),
        (
            len({each.settings for each in fields}),
            "whose settings were chosen by different budgets or rules",
        ),
        (len({each.selection for each in fields}), "of different selection rules"),
    )
    apart = [f"; rows {what} do not compete" for several, what in told if several > 1]
    if not apart:
        return [""]
    groups = [tracks.called(under, fields) for under in fields]
    notes = ["".join(apart), f"marks are among the rows of a group: {'; '.join(groups)}"]
    if len(groups) > 1 and any(row.settings == tracks.ANY for row in rows):
        notes[1] += (
            "; a method that learns nothing competes in all groups of its track, and has its own "
            "marks in the first"
        )
    return notes


def _notes(rows: Sequence[Row], tests: int, metric: Metric) -> list[str]:
    if not any(row.best for row in rows):
        return []
    best = "best" if metric.higher else "best (lowest)"
    notes = [f"bold: {best}, underlined: second best of a column; equal numbers share the mark"]
    apart, *groups = _groups(rows)
    notes[0] += apart
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
    return [notes[0], *map(printable, groups), *notes[1:]]
