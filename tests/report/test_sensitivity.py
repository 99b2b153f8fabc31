"""Sensitivity: closed forms against all draws, spreads, and which parameters matter."""

from __future__ import annotations

import itertools
import math
import sys
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from promptbench.errors import UserError
from promptbench.figures.style import Page
from promptbench.records import Record, TuningInfo
from promptbench.records.tuning import digest
from promptbench.report.format import render_grids
from promptbench.report.sensitivities import (
    importance,
    sensitivity,
    sensitivity_grid,
    sensitivity_plot,
    sensitivity_section,
)
from promptbench.spaces import LogUniform
from promptbench.spaces.distributions import of_data
from promptbench.statistics import best_between, expected_best
from tests.made_records import record

VALUES = st.lists(st.floats(0, 100), min_size=1, max_size=7)
SPACE = {"Recipe.lr": {"log-uniform": [1e-4, 1e-1]}, "CoOp.csc": {"choice": [True, False]}}


@given(VALUES, st.data())
def test_the_expected_best_is_the_mean_over_all_draws(values: list[float], data: Any) -> None:
    k = data.draw(st.integers(1, len(values)))
    draws = [max(drawn) for drawn in itertools.combinations(values, k)]
    assert expected_best(values, k) == pytest.approx(fmean(draws), abs=1e-9)
    low, high = best_between(values, k)
    tail = math.ceil(len(draws) * 0.025 - 1e-9)
    assert sum(best < low for best in draws) < max(tail, 1)
    assert sum(best <= high for best in draws) >= 0.975 * len(draws) - 1e-9


def test_the_ends_of_the_budget_are_the_mean_and_the_best() -> None:
    values = [10.0, 40.0, 20.0]
    assert expected_best(values, 1) == pytest.approx(fmean(values))
    assert expected_best(values, 3) == 40.0 and best_between(values, 3) == (40.0, 40.0)
    for k in (0, 4):
        with pytest.raises(ValueError, match="of 3 values"):
            expected_best(values, k)


def tuned(dataset: str = "imagenet", lost: bool = False, count: int = 33) -> Record:
    """A record of a search in which the learning rate decides, and the other parameter nothing."""
    rates = LogUniform(1e-4, 1e-1)
    trials: list[dict[str, Any]] = [
        {"values": {"Recipe.lr": 1e-3, "CoOp.csc": False}, "validation": 70.0, "cells": ["0"]}
    ]
    for number in range(1, count):
        place = (number * 0.618034) % 1
        values = {"Recipe.lr": rates.value(place), "CoOp.csc": number % 2 == 0}
        found = None if lost and number == 3 else 90 - 200 * (place - 0.6) ** 2
        trials.append({"values": values, "validation": found, "cells": [str(number)]})
    best = max(range(count), key=lambda n: trials[n]["validation"] or 0.0)
    info = TuningInfo(
        budget=count,
        rule="r",
        engine="e",
        space=SPACE,
        space_sha256=digest(SPACE),
        seeds=[1, 2],
        chosen=best + 1,
        trials=trials,  # type: ignore[arg-type]  # pydantic reads them
    )
    base = record(method="coop")
    source = base.source.model_copy(update={"dataset": dataset})
    return base.model_copy(update={"tuning": info, "preset": info.preset, "source": source})


def test_the_methods_own_setting_is_none_of_the_drawn_trials() -> None:
    (found,) = sensitivity.of_records([tuned(), tuned("dtd"), record()])
    assert [(each.source, each.own, len(each.values)) for each in found.spreads] == [
        ("imagenet/all, 16 shots", 70.0, 32),
        ("dtd/all, 16 shots", 70.0, 32),
    ]
    least, _, _, _, best = found.spreads[0].quartiles
    assert (least, best) == (min(found.spreads[0].values), max(found.spreads[0].values))
    assert found.spreads[0].curve[-1][1] == best


def test_a_trial_that_diverged_counts_as_zero_and_is_said_so() -> None:
    (found,) = sensitivity.of_records([tuned(lost=True)])
    assert found.spreads[0].lost == 1 and min(found.spreads[0].values) == sensitivity.LOST
    assert sensitivity_grid.spread_grid(found).rows[0].facts["diverged"] == 1


def test_several_seeds_of_one_search_are_one_row() -> None:
    (found,) = sensitivity.of_records([tuned(), tuned().model_copy(update={"seed": 2})])
    assert len(found.spreads) == 1


def test_records_without_a_search_are_refused() -> None:
    with pytest.raises(UserError, match="`promptbench tune` computes such"):
        sensitivity.of_records([record()])


def test_the_parameter_that_decides_is_the_one_that_matters() -> None:
    pytest.importorskip("sklearn")
    (found,) = sensitivity.of_records([tuned()])
    own = importance.importance(found.samples[0])
    assert own is not None and own.explained > 0.5
    assert own.shares["Recipe.lr"][0] > 0.5 > 0.1 > abs(own.shares["CoOp.csc"][0])
    assert own == importance.importance(found.samples[0])


def test_too_few_trials_have_no_importance() -> None:
    (found,) = sensitivity.of_records([tuned(count=importance.LEAST)])
    assert importance.importance(found.samples[0]) is None
    grid = sensitivity_grid.importance_grid(found, [None])
    assert {row.cells for row in grid.rows} == {("—", "—")}


def test_without_scikit_learn_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    (found,) = sensitivity.of_records([tuned()])
    monkeypatch.setitem(sys.modules, "sklearn.ensemble", None)
    with pytest.raises(UserError, match=r"promptbench-vlm\[probe\]"):
        importance.importance(found.samples[0])


@pytest.mark.parametrize("data", [{}, {"normal": [0, 1]}, {"uniform": [0.5, 1.0]}])
def test_a_strangers_space_that_does_not_hold_is_refused(data: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="a record"):
        of_data(data, [0.1])


@pytest.mark.parametrize("name", ["csv", "json", "latex", "markdown", "rich"])
def test_every_format_writes_both_tables(name: str) -> None:
    (found,) = sensitivity.of_records([tuned()])
    own = importance.Importance("CoOp", 0.5, {"Recipe.lr": (0.4, 0.1), "CoOp.csc": (0.0, 0.1)})
    for grid in (
        sensitivity_grid.spread_grid(found),
        sensitivity_grid.importance_grid(found, [own]),
    ):
        assert "CoOp" in render_grids(name, [grid])


def test_a_figure_has_a_panel_for_each_source_and_each_method(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    (found,) = sensitivity.of_records([tuned(), tuned("dtd")])
    own = importance.Importance("CoOp", 0.5, {"Recipe.lr": (0.4, 0.1), "CoOp.csc": (0.0, 0.1)})
    for known in ([own], [None]):
        _, svg = sensitivity_plot.sensitivity_plot(found, known, tmp_path / "figure")
        text = svg.read_text()
        assert "dtd/all, 16 shots" in text and "CoOp" in text and "95% of draws" in text
        assert ("importance (R" in text) == (known != [None])  # no panel without bars
    (many,) = sensitivity.of_records([tuned(f"d{n}") for n in range(13)])
    with pytest.raises(UserError, match="a figure holds 12 sources"):
        sensitivity_plot.sensitivity_plot(many, [own], tmp_path / "many")


def test_a_method_without_importances_has_no_empty_panel(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    other = tuned()
    method = other.method.model_copy(update={"name": "maple", "title": "MaPLe"})
    (found,) = sensitivity.of_records([tuned(), other.model_copy(update={"method": method})])
    own = importance.Importance("CoOp", 0.5, {"Recipe.lr": (0.4, 0.1)})
    _, svg = sensitivity_plot.sensitivity_plot(found, [own, None], tmp_path / "figure")
    assert svg.read_text().count("importance (R") == 1
    assert "fewer than" not in svg.read_text()


@pytest.mark.parametrize(("panels", "tallest"), [(1, 9.0), (6, 12.0)])
def test_many_panels_stand_side_by_side_in_a_column(
    tmp_path: Path, panels: int, tallest: float
) -> None:
    """Stacked, each at the full width of the column, six sources would be 13 inches tall."""
    pytest.importorskip("matplotlib")
    (found,) = sensitivity.of_records([tuned(f"d{number}") for number in range(panels)])
    png, *_ = sensitivity_plot.sensitivity_plot(found, [None], tmp_path / "f", Page("single"))
    with Image.open(png) as image:
        inches = [side / dpi for side, dpi in zip(image.size, image.info["dpi"], strict=True)]
    assert inches[0] == pytest.approx(3.25, abs=0.02) and inches[1] <= tallest


@pytest.mark.long
def test_a_page_has_tables_and_a_figure_of_every_search(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    pytest.importorskip("sklearn")
    records = [tuned(), tuned("dtd"), tuned(count=9), record()]
    found = sensitivity_section.of_records(records, tmp_path / "figures" / "coop")
    assert [(each.grids[0].facts["budget"], len(each.grids[0].rows)) for each in found] == [
        (33, 2),
        (9, 1),
    ]
    assert [each.figure for each in found] == [
        tmp_path / "figures" / f"coop-{number}.svg" for number in (1, 2)
    ]
    assert all(each.figure and each.figure.stat().st_size for each in found)
    assert found[0].grids[1].rows[0].facts["parameter"] == "Recipe.lr"
    assert [each.notes for each in found] == [(), ()]
    assert sensitivity_section.of_records([record()], tmp_path / "coop") == []


def test_a_page_without_the_extras_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.ensemble", None)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    (found,) = sensitivity_section.of_records([tuned()], tmp_path / "coop")
    assert found.figure is None and len(found.grids[0].rows) == 1
    importances, figure = found.notes
    assert "promptbench-vlm[probe]" in importances
    assert figure.startswith("no figure: ") and "matplotlib" in figure


def test_a_share_below_nothing_is_no_minus_zero() -> None:
    (found,) = sensitivity.of_records([tuned()])
    own = importance.Importance("CoOp", 0.5, {"Recipe.lr": (-0.001, 0.1), "CoOp.csc": (0.0, 0.1)})
    assert sensitivity_grid.importance_grid(found, [own]).rows[0].cells[0] == "0.00 ± 0.10"
