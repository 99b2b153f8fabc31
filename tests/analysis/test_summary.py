"""The summary of an analysis as a terminal of 80 columns shows it."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from promptbench.analysis import field_summary, summary
from promptbench.analysis.measure import ANALYSES
from promptbench.analysis.rows import Row


@pytest.mark.parametrize("analysis", ANALYSES)
def test_every_note_breaks_between_words(analysis: str) -> None:
    across = [Row("", "", "counts", None, None, "new", "cls/unit", None, "cosine", "n", 12.0)]
    file = io.StringIO()
    console = Console(width=80, force_terminal=True, color_system=None, file=file)
    summary.show(analysis, [], ["CoOp"], across, console)
    lines = file.getvalue().splitlines()
    assert all(len(line) <= 80 for line in lines)
    said = " ".join(" ".join(lines).split())
    notes = field_summary.NOTES if analysis == "field" else (summary._NOTES[analysis],)
    assert all(note in said for note in notes)
