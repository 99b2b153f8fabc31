"""The summary of an analysis as a terminal of 80 columns shows it."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from promptbench.analysis.agreement import BOUNDS
from promptbench.analysis.analysis import chosen
from promptbench.analysis.rows import Number
from promptbench.analysis.summary import SummaryLine, show_lines
from promptbench.core.registry import ANALYSES
from promptbench.statistics import ANY, Ends


@pytest.mark.parametrize("name", ANALYSES.names())
def test_every_note_breaks_between_words(name: str) -> None:
    analysis = chosen([name])[name]
    across = [Number("", "", "counts", None, None, "new", "cls/unit", None, "cosine", "n", 12.0)]
    file = io.StringIO()
    console = Console(width=80, force_terminal=True, color_system=None, file=file)
    analysis.show([], ["CoOp"], across, console)
    lines = file.getvalue().splitlines()
    assert all(len(line) <= 80 for line in lines)
    said = " ".join(" ".join(lines).split())
    assert all(note in said for note in analysis.notes)


def printed(analysis: str, width: int, bounds: Ends) -> str:
    """Three seeds of a method, of which every number has a spread."""
    parts = ("cls", "rep") if analysis == "geometry" else ("", "cls/unit", "cls/unit/random-map")
    quantities = {
        "geometry": ("uniformity", "tolerance", "tolerance_macro"),
        "field": (*BOUNDS, *(f"{name}_{end}" for name in BOUNDS for end in ("low", "high"))),
    }
    rows = [
        Number(
            "AlignedNorm",
            "",
            "x",
            seed,
            None,
            target,
            part,
            None,
            "",
            quantity,
            value * seed,
            bounds,
        )
        for seed in (1, 2, 3)
        for target in ("base", "new")
        for part in parts
        for quantity, value in (*((q, -1.11) for q in quantities[analysis]), ("accuracy", 12.3))
    ]
    file = io.StringIO()
    console = Console(width=width, force_terminal=True, color_system=None, file=file)
    chosen([analysis])[analysis].show(rows, ["AlignedNorm"], [], console)
    return file.getvalue()


@pytest.mark.parametrize("bounds", [ANY, (-3.5, 37.0)], ids=["as wide as they are", "cut"])
@pytest.mark.parametrize("analysis", ["geometry", "field"])
def test_no_column_is_cut_at_80(analysis: str, bounds: Ends) -> None:
    narrow, wide = (printed(analysis, width, bounds) for width in (80, 300))
    assert ("which ends where such numbers end" in " ".join(wide.split())) == (bounds != ANY)
    assert max(map(len, narrow.splitlines())) <= 80 and "…" not in narrow
    numbers = [sorted(re.findall(r"-?\d+\.\d+", text)) for text in (narrow, wide)]
    assert numbers[0] == numbers[1]  # names may be in two lines, columns in two tables


def test_columns_that_belong_together_stay_in_one_table() -> None:
    """Three columns fit; the last two would lose the heading above them both."""
    headings = ["first\nbase", "\nnew", "second\nbase", "\nnew"]
    lines = [SummaryLine("A", ["(0.11–0.12)", "(0.13–0.14)", "(0.15–0.16)", "(0.17–0.18)"])]
    file = io.StringIO()
    show_lines("method", headings, lines, Console(width=60, file=file))
    rows = [line.split() for line in file.getvalue().splitlines() if line.strip()]
    heads = [["first"], ["method", "base", "new"], ["second"], ["method", "base", "new"]]
    assert [row for row in rows if "first" in row or "second" in row or "new" in row] == heads
    assert [row for row in rows if "A" in row] == [
        ["A", *lines[0].cells[:2]],
        ["A", *lines[0].cells[2:]],
    ]
