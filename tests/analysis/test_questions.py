"""What holds for every analysis, built in or somebody else's."""

from __future__ import annotations

import ast
import io
import math
import re
from collections import Counter
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from promptbench.analysis.analysis import Analysis, chosen
from promptbench.analysis.figures import Drawing, finish, styled
from promptbench.analysis.rows import Number, average, halves, select
from promptbench.core.registry import ANALYSES
from promptbench.figures.style import matplotlib_pyplot
from promptbench.statistics import ANY
from tests.analysis.made_looks import look, looks

EVERY = pytest.mark.parametrize("name", ANALYSES.names())
NOT_AVERAGED = {"isotropic", "pairs", "uniformity_error"}  # of no figure and no table
ROOT = Path(__file__).parents[2] / "promptbench"


def made(name: str) -> Analysis:
    found: Analysis = ANALYSES.load(name).cls()
    return found


@cache  # measuring takes most of the time here
def measured(name: str) -> list[Number]:
    analysis = made(name)
    every = looks() if analysis.over_training else [each for each in looks() if each.epoch is None]
    return [row for each in every for row in analysis.rows(each)]


def final(rows: list[Number]) -> list[Number]:
    return halves(row for row in rows if row.epoch is None and not row.item)


def drawings(analysis: Analysis, rows: list[Number]) -> list[Any]:
    """Its figures of methods compared, and of the datasets of one."""
    one = select(rows, title="A")
    compared = Drawing.of_rows(rows, True, ["A", "B_$x$"]), Drawing.of_rows(one, False, ["shapes"])
    draw = [analysis.figure, *([analysis.curves] if analysis.over_training else [])]
    with styled():
        return [each(drawing) for each in draw for drawing in compared]


def shown(analysis: Analysis, rows: list[Number], titles: list[str], width: int = 160) -> str:
    file = io.StringIO()
    console = Console(width=width, force_terminal=True, color_system=None, file=file)
    analysis.show(final(rows), titles, analysis.across(rows), console)
    return file.getvalue()


@EVERY
def test_it_says_what_it_is(name: str) -> None:
    analysis = made(name)
    assert analysis.title and analysis.lacking and all(analysis.notes) and analysis.columns
    assert ANALYSES.about(name)  # the help lists it


@EVERY
def test_rows_are_numbers_of_their_run_and_the_same_each_time(name: str) -> None:
    rows = measured(name)
    assert rows and all(type(row) is Number and type(row.value) is float for row in rows)
    assert {(row.title, row.seed) for row in rows} == {
        (t, s) for t in ("A", "B_$x$") for s in (1, 2)
    }
    again = list(map(repr, made(name).rows(looks()[0])))  # nan is not equal to itself
    assert again == list(map(repr, rows))[: len(again)]
    keys = [tuple(vars(row).values())[:-2] for row in rows]
    assert len(set(keys)) == len(keys)  # each number has a place of its own


@EVERY
def test_numbers_are_within_their_bounds_and_so_are_intervals_over_seeds(name: str) -> None:
    rows = [row for row in measured(name) if not math.isnan(row.value)]
    for row in rows:
        low, high = row.bounds
        assert low - 1e-9 <= row.value <= high + 1e-9, row
    averaged = final([row for row in rows if not row.quantity.endswith(("_low", "_high"))])
    open_ended = {row.quantity for row in averaged if row.bounds == ANY}
    assert open_ended <= NOT_AVERAGED
    for row in averaged[:200]:
        ends = [replace(row, seed=seed, value=row.value + seed) for seed in (-9, 0, 9)]
        found = average(ends)
        assert found is not None and found.interval is not None
        assert row.bounds[0] <= found.interval[0] and found.interval[1] <= row.bounds[1]


@EVERY
def test_every_column_has_a_number_and_every_note_is_said(name: str) -> None:
    analysis = made(name)
    rows = measured(name)
    for title in ("A", "B_$x$"):
        mine = select(final(rows), title=title)
        found = {heading: value(mine) for heading, value in analysis.columns.items()}
        assert all(number is not None and number.n == 2 for number in found.values()), found
    text = shown(analysis, rows, ["A", "B_$x$"])
    assert "…" not in text and "B_$x$" in text and "—" not in text
    said = " ".join(text.split())
    assert all(note in said for note in analysis.notes)


@EVERY
@pytest.mark.parametrize("width", [30, 44, 80, 100])
def test_a_narrow_terminal_shows_every_number(name: str, width: int) -> None:
    """Of two seeds, whose ranges are the widest that a number has beside it."""
    analysis, rows, titles = made(name), measured(name), ["A", "B_$x$"]
    narrow, wide = (shown(analysis, rows, titles, columns) for columns in (width, 400))
    assert "…" not in narrow and max(map(len, narrow.splitlines())) <= width
    number = r"-?\d+\.\d\d" if width >= 44 else r"\d"  # in fewer columns a number breaks
    assert Counter(re.findall(number, narrow)) == Counter(re.findall(number, wide))
    for table in re.split(r"(?m)^ method ", narrow)[1:]:
        assert "A" in table and "B_$x$" in table


@EVERY
def test_axes_of_its_figures_are_labelled(name: str, tmp_path: Path) -> None:
    analysis = made(name)
    for number, (figure, entries) in enumerate(drawings(analysis, measured(name))):
        for axis in figure.axes:
            place = axis.get_subplotspec()
            assert axis.get_title() and axis.has_data()
            assert axis.get_ylabel() or not place.is_first_col()  # a row may share the label
            named = [tick.get_text() for tick in axis.get_xticklabels()]
            assert axis.get_xlabel() or all(text and not text[0].isdigit() for text in named)
            if axis.get_xlabel() in ("block", "epochs done"):
                figure.set_size_inches(20, 4)  # room for more ticks than there are epochs
                for many in (2, 12):
                    axis.set_xlim(-0.05 * many, 1.05 * many)
                    assert all(float(tick).is_integer() for tick in axis.get_xticks())
        assert entries
        if number:
            matplotlib_pyplot().close(figure)
        else:
            assert len(finish(figure, entries, "title", tmp_path / "first")) == 2


@EVERY
def test_without_rows_there_is_a_sentence_and_no_error(name: str) -> None:
    analysis = made(name)
    for text in (shown(analysis, [], ["A"]), shown(analysis, [], [])):
        assert "nan" not in text and all(note in " ".join(text.split()) for note in analysis.notes)
    assert "—" in shown(analysis, [], ["A"])


@EVERY
def test_a_method_without_prompts_has_rows_that_are_defined_or_none(name: str) -> None:
    analysis = made(name)
    rows = list(analysis.rows(look("A", 1, prompted=False)))
    assert rows or analysis.lacking != Analysis.lacking  # and says why
    assert all(math.isfinite(row.value) for row in rows)


def test_all_are_chosen_in_their_order_and_named_ones_as_they_are_named() -> None:
    assert list(chosen(())) == ["norms", "attention", "geometry", "field"]
    assert list(chosen(("field", "norms"))) == ["field", "norms"]
    ANALYSES.add_file(Path(__file__).with_name("drift.py"))
    assert list(chosen(())) == ["norms", "attention", "geometry", "field", "drift"]


def strings(path: Path) -> set[str]:
    found = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    return {n.value for n in found if isinstance(n, ast.Constant) and isinstance(n.value, str)}


def test_nothing_beside_them_names_an_analysis() -> None:
    others = [ROOT / "cli" / "analyze.py", ROOT.parent / "leaderboard" / "web" / "analyses.py"]
    members = set(ANALYSES.names()) - {"attention"}  # also a part of a block's numbers
    for path in [*(ROOT / "analysis").glob("*.py"), *others]:
        assert not strings(path) & members, path
