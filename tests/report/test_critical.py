"""The critical-difference diagram: from ten datasets on, whose rows, and what is in the figure."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from promptbench.errors import UserError
from promptbench.records.scores import load
from promptbench.report.comparing.critical import _scale, can_draw, critical_difference_plot
from promptbench.report.table import Heading, Row, Table
from promptbench.statistics import Estimate, MeanRanks


def table(datasets: int, *shifts: float, lacking: int = 0) -> Table:
    """Methods m0, m1, ... with accuracies 50 + shift on every dataset, and their average."""
    single = [Heading(f"d{i}", "HM", 16, False) for i in range(datasets)]
    average = Heading("Average", "HM", 16, True, tuple(range(datasets)))
    rows = []
    for number, shift in enumerate(shifts):
        entries = [Estimate(50 + i + shift, None, 3) for i in range(datasets)]
        whole = [*entries, Estimate(60, None, 3)]
        if number < lacking:
            whole[0] = None
        rows.append(Row(f"m{number} $x", "p", "ours", tuple(whole), 3))
    return Table("title", "base_to_new", load(), (*single, average), tuple(rows))


def test_a_diagram_needs_ten_data_sets_and_three_complete_rows(tmp_path: Path) -> None:
    assert can_draw(table(10, 1, 2, 3)) and not can_draw(table(9, 1, 2, 3))
    assert not can_draw(table(10, 1, 2)) and not can_draw(table(10, 1, 2, 3, lacking=1))
    with pytest.raises(UserError, match="at least 10 datasets and 3 methods"):
        critical_difference_plot(table(9, 1, 2, 3), tmp_path / "ranks")


def test_it_shows_mean_ranks_and_is_the_same_each_time(tmp_path: Path) -> None:
    made = table(11, 1, 3, 2, 2)
    png, svg = critical_difference_plot(made, tmp_path / "ranks")
    text = svg.read_text()
    for shown in ("m1 $x (1.00)", "m2 $x (2.50)", "m3 $x (2.50)", "m0 $x (4.00)", "Friedman"):
        assert shown in text  # in comments beside the outlines
    assert png.stat().st_size > 5000
    again = critical_difference_plot(made, tmp_path / "again")
    assert [path.read_bytes() for path in again] == [png.read_bytes(), svg.read_bytes()]


def test_only_rows_that_may_be_compared_share_a_diagram(tmp_path: Path) -> None:
    made = table(10, 1, 2, 3, 4, 5, 6)
    rows = [replace(r, settings=("unified",)) if i > 2 else r for i, r in enumerate(made.rows)]
    _, svg = critical_difference_plot(replace(made, rows=tuple(rows)), tmp_path / "ranks")
    text = svg.read_text()
    assert "m2 $x (1.00)" in text and "m5 $x (1.00)" in text and "unified settings" in text
    rows[0] = replace(rows[0], selection="best validation epoch")
    rows[3] = replace(rows[3], settings=("equal budget: 4 trials",))
    assert not can_draw(replace(made, rows=tuple(rows)))
    assert not can_draw(replace(made, on_one_data=False))


@pytest.mark.parametrize(
    ("ranks", "difference", "ends"),
    [
        ((1.0, 2.0, 3.0), 0.9, (1, 3)),
        ((1.9, 1.9, 2.2), 0.9, (1, 3)),
        ((9.0, *[15.0] * 28, 20.5), 5.0, (9, 21)),  # as far as mean ranks lie
        ((15.2, *[15.5] * 28, 15.8), 13.0, (15, 28)),  # the critical difference has room
        ((20.2, *[15.5] * 28, 21.8), 14.5, (15, 30)),
        ((25.5, *[25.5] * 28, 26.0), 14.5, (15, 30)),  # never beyond the last
        ((2.0, 2.0, 2.0), 3.0, (1, 3)),
    ],
)
def test_the_scale_holds_all_ranks(
    ranks: tuple[float, ...], difference: float, ends: tuple[int, int]
) -> None:
    assert _scale(MeanRanks(ranks, 12, 0.5, difference)) == ends
