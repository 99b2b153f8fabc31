"""Sweeps as tables and figures: settings are columns, and no test accuracy chooses."""

from __future__ import annotations

import hashlib
import io
import math
from pathlib import Path

import pytest
from rich.console import Console

from promptbench.errors import UserError
from promptbench.figures.style import Page
from promptbench.formats import rich
from promptbench.records import Record, ValidationInfo
from promptbench.records.scores import Scorer, load
from promptbench.report.format import render_grids
from promptbench.report.grid import Grid, GridRow
from promptbench.report.sweeps import sweep, sweep_grid, sweep_plot
from tests.made_records import record

TOKEN, PROJ = "MMRLpp.w_token", "MMRLpp.w_proj"


def point(token: float, proj: float, correct: int, seed: int = 1) -> Record:
    parameters = {"w_token": token, "w_proj": proj}
    base = record(seed, correct)
    usual = {TOKEN: 0.1, PROJ: 0.1}
    overrides = [
        f"{name} = {value}"
        for name, value in ((TOKEN, token), (PROJ, proj))
        if value != usual[name]
    ]
    method = base.method.model_copy(update={"parameters": parameters})
    return base.model_copy(
        update={"method": method, "overrides": overrides, "cell_id": f"{token}{proj}{seed}"}
    )


def points() -> list[Record]:
    """Twelve combinations of no order; that of the usual values changes nothing."""
    values = [(t, p) for t in (1.0, 0.0, 0.1) for p in (0.1, 0.0)]
    found = [point(t, p, 40 + 7 * n, seed) for n, (t, p) in enumerate(values) for seed in (1, 2)]
    return [*found, record(1, 55, "zeroshot")]


def table(settings: tuple[str, ...] = (TOKEN, PROJ)) -> sweep.SweepTable:
    (found,) = sweep.of_records(points(), settings, Scorer(load()))
    return found


def test_settings_are_columns_in_the_order_of_their_values() -> None:
    found = [(point.title, point.values) for point in table().points]
    assert found == [
        ("CLIP (zero-shot)", (None, None)),
        *(("MMRL++ w/o decoupling", (t, p)) for t in ("0.0", "0.1", "1.0") for p in ("0.0", "0.1")),
    ]


def test_each_row_has_the_numbers_of_its_own_records() -> None:
    found = {point.values: point.entries[0] for point in table().points}
    entry = found["0.0", "0.1"]
    assert entry is not None and entry.n == 2 and math.isclose(entry.mean, 40 + 7 * 2)


def test_without_validation_none_is_chosen_whatever_the_test_accuracy() -> None:
    grid = sweep_grid.grid(table())
    assert not any(point.best for point in table().points)
    assert grid.columns[:2] == ("w_token", "w_proj") and "validation" not in grid.columns
    assert any(note.startswith("no combination is chosen") for note in grid.notes)


def validated(r: Record, accuracy: float) -> Record:
    keys = [str(number) for number in range(8)]
    held_out = ValidationInfo(
        fingerprint=hashlib.sha256("\n".join(keys).encode()).hexdigest(),
        images=8,
        per_class=4,
        keys=keys,
        accuracy=[accuracy],
        epoch=1,
        seconds=1.0,
    )
    return r.model_copy(update={"validation": held_out})


def test_the_best_is_the_first_of_the_highest_by_validation_and_not_by_test() -> None:
    """The best on test images is the worst on validation images, and two are equal."""
    accuracies = {0.0: 75.0, 0.1: 75.0, 1.0: 25.0}
    own = [
        validated(point(token, 0.1, 50 + round(30 * token)), accuracy)
        for token, accuracy in accuracies.items()
    ]
    (found,) = sweep.of_records(own, (TOKEN,), Scorer(load()))
    assert [(p.values, p.validation, p.best) for p in found.points] == [
        (("0.0",), 75.0, True),
        (("0.1",), 75.0, False),
        (("1.0",), 25.0, False),
    ]
    grid = sweep_grid.grid(found)
    assert grid.columns[1] == "validation" and grid.rows[0].title.endswith("*")
    assert any(note.startswith("* the best combination") for note in grid.notes)
    (some,) = sweep.of_records([*own[:2], point(1.0, 0.1, 80)], (TOKEN,), Scorer(load()))
    assert not any(p.best for p in some.points)  # not all of them are known


@pytest.mark.parametrize("name", ["csv", "json", "latex", "markdown", "rich"])
def test_every_format_writes_them(name: str) -> None:
    text = render_grids(name, [sweep_grid.grid(table())])
    assert "w_token" in text or "w\\_token" in text


def test_a_setting_that_differs_by_dataset_is_said_so() -> None:
    first = point(0.1, 0.0, 60)  # w_token is as the method's file has it for each source
    method = first.method.model_copy(update={"parameters": {"w_token": 9.0, "w_proj": 0.0}})
    source = first.source.model_copy(update={"dataset": "caltech101"})
    other = first.model_copy(update={"method": method, "source": source})
    found = sweep.of_records([first, other], (TOKEN, PROJ), Scorer(load()))
    assert [point.values for table in found for point in table.points] == [
        (sweep.BY_DATASET, "0.0")
    ]


def test_an_unknown_setting_is_refused_with_the_nearest() -> None:
    with pytest.raises(UserError, match=r"no record has the setting 'MMRLpp\.w_tokn'.*w_token"):
        sweep.of_records(points(), ["MMRLpp.w_tokn"], Scorer(load()))


def test_figures_are_written_for_one_setting_and_for_two(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    for settings in ((TOKEN,), (TOKEN, PROJ)):
        wanted = [r for r in points() if len(settings) > 1 or r.method.parameters.get("w_proj")]
        (found,) = sweep.of_records(wanted, settings, Scorer(load()))
        paths = sweep_plot.sweep_plot(found, tmp_path / f"figure{len(settings)}", print)
        assert [path.suffix for path in paths] == [".png", ".svg"]
        svg = paths[1].read_text()
        assert "w_token" in svg and "no combination is chosen" in svg


def test_it_is_said_which_heat_maps_are_without_numbers(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    (found,) = sweep.of_records(points(), (TOKEN, PROJ), Scorer(load()))
    said: list[str] = []
    paths = sweep_plot.sweep_plot(found, tmp_path / "wide", said.append)
    assert not said and "left out" not in paths[1].read_text()
    style = tmp_path / "large.mplstyle"
    style.write_text("font.size: 60\naxes.titlesize: 8\naxes.labelsize: 8\n")
    paths = sweep_plot.sweep_plot(found, tmp_path / "large", said.append, Page(style=str(style)))
    assert "1 of 1 heat map without numbers" in said[0] and "large.png" in said[0]
    assert "left out" in paths[1].read_text()


def test_values_stand_by_size_or_one_by_one() -> None:
    pyplot = pytest.importorskip("matplotlib.pyplot")
    for values, scale, places in (
        (["0.001", "0.1"], "log", [0.001, 0.1]),
        (["1", "2", "4"], "linear", [1, 2, 4]),
        (["0", "0.001", "0.1"], "linear", [0, 1, 2]),
        (["'sgd'", "'adamw'"], "linear", [0, 1]),
    ):
        figure, axis = pyplot.subplots()
        assert list(sweep_plot._places(axis, values).values()) == places
        assert axis.get_xscale() == scale
        pyplot.close(figure)


@pytest.mark.parametrize("width", [200, 72, 64])
def test_in_a_narrow_terminal_each_part_says_which_combination_a_row_is(width: int) -> None:
    columns = ("lr", "position", "validation", "birds base", "birds new", "n")
    values = ("40.00", "50.00 ±10.00", "51.00 ±10.00", "3")
    title = "CoOp (epochs = 1; warmup_epochs = 0)"
    rows = [GridRow(title, ("0.001", own, *values), {}) for own in ("'middle'", "'front'")]
    file = io.StringIO()
    console = Console(file=file, width=width)
    rich._show_grid(Grid("a sweep", columns, tuple(rows), keys=2), console, "")
    lines = file.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    assert all(any(value in line for line in lines) for value in values)
    for line in lines:
        if any(value in line for value in values[:3]):
            assert "0.001" in line and ("'middle'" in line or "'front'" in line)


def test_where_nothing_fits_beside_the_settings_they_are_a_part_of_their_own() -> None:
    file = io.StringIO()
    wide = Grid("a sweep", ("lr", "own", "n"), (GridRow("CoOp", ("1", "x" * 30, "3"), {}),), keys=2)
    rich._show_grid(wide, Console(file=file, width=40), "")
    assert "x" * 30 in file.getvalue() and max(map(len, file.getvalue().splitlines())) <= 40
