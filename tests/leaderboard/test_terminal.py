"""The boards in the terminal: the same ranking, in the room that there is."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from promptbench.leaderboard import terminal
from promptbench.leaderboard.boards.board import Board
from promptbench.statistics import Estimate
from tests.calling import call


def test_the_terminal_shows_the_same_ranking(finished: Path) -> None:
    found = call("leaderboard", "show", finished, "--protocol", "few_shot", "--suite", "demo")
    assert found.exit_code == 0 and "not comparable" in found.stdout
    assert "verified" in found.stdout and "CLIP (zero-shot)" in found.stdout
    real = call("leaderboard", "show", "--protocol", "base_to_new", "--suite", "clip").stdout
    assert real.index("81.45") < real.index("81.43") < real.index("71.66")
    assert "to best" in real and "to best" not in found.stdout  # no paper has the demo's numbers
    nothing = call("leaderboard", "show", "--protocol", "base_to_new", "--suite", "demo")
    assert nothing.exit_code == 2 and "no number under base_to_new" in nothing.stderr


def test_the_terminal_tells_originals_from_re_runs_and_folds_what_has_no_average(
    papers: list[Board],
) -> None:
    (paper,) = [b for b in papers if b.protocol == "base_to_new"]
    row = paper.rows[0]
    rows = (
        dataclasses.replace(row, title="First", origin="original"),
        dataclasses.replace(row, title="Second", origin="re-run", source="Another paper"),
        dataclasses.replace(row, title="Third", origin="unknown"),
        dataclasses.replace(row, title="Hollow", values={}),
        dataclasses.replace(row, title="Mine", state="verified", values={}, n=1),
    )
    made = dataclasses.replace(paper, rows=rows)

    def shown(whole: bool) -> list[str]:
        file = io.StringIO()
        terminal.show([made], "base_to_new", None, Console(file=file, width=80), whole)
        return file.getvalue().splitlines()

    def line(title: str, lines: list[str]) -> str:
        return next(line for line in lines if line.strip().startswith(title))

    brief, whole = shown(False), shown(True)
    for title, origin in (("First", "original"), ("Second", "re-run"), ("Third", "origin unknown")):
        assert f" {origin} " in line(title, brief)
    assert "verified" in line("Mine", brief)  # a row that was run is not folded
    assert not [text for text in brief if "Hollow" in text]
    assert "folded: 1 published row without an average (--all shows them)" in brief
    assert [text for text in whole if "Hollow" in text]
    assert not [text for text in whole if text.startswith("folded")]
    assert "re-run [2]" in line("Second", whole)
    assert [text for text in whole if text.startswith("[2] re-run: Another paper")]


@pytest.mark.parametrize("state", ["published", "verified"])
def test_a_narrow_terminal_has_room_for_methods(papers: list[Board], state: Any) -> None:
    (paper,) = [b for b in papers if b.protocol == "base_to_new"]
    values = {column.key: Estimate(55.55, 1.25, 3) for column in paper.columns}
    row = dataclasses.replace(paper.rows[0], title="A Method", state=state, n=3, values=values)
    row = dataclasses.replace(row, differences={})
    file = io.StringIO()
    made = dataclasses.replace(paper, rows=(row,))
    terminal.show([made], "base_to_new", None, Console(file=file, width=80))
    leader, *lines = file.getvalue().splitlines()[1:]
    assert "A Method 55.55" in leader
    (line,) = [line for line in lines if "A Method" in line]
    assert line.count("55.55") == 3 and len(line) <= 80
    assert sum(line.count("±1.25") for line in lines) == 3
