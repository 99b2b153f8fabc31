"""Every kind of figure, of little and of much, on every page: nothing overlaps or is cut."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from promptbench.figures import sheet
from promptbench.figures.fitting import shown_labels
from promptbench.figures.style import WIDTHS, Page, Paper, styled
from tests.figures.gallery import Draw, kinds
from tests.figures.layout import problems

matplotlib = pytest.importorskip("matplotlib")


FOUND = kinds()
PAPERS: tuple[Paper | None, ...] = (None, "single", "double")
# One of each kind, most on the narrowest page, which is the hardest. All take many minutes.
SHORT = {
    ("shots-crowd", "single"), ("costs-much", "single"), ("ranks-30", "single"),
    ("confusions-60", "single"), ("classes-60", "single"), ("maps-one", "double"),
    ("sweep-words", "single"), ("sensitivity-one", None), ("attention-8", "single"),
    ("norms-8", "single"), ("geometry-8", None), ("field-1", "double"),
}  # fmt: skip
CASES = [
    pytest.param(
        name, paper, id=f"{name}-{paper or 'free'}",
        marks=[] if (name, paper) in SHORT else [pytest.mark.long],
    )
    for name in FOUND
    for paper in PAPERS
]  # fmt: skip
Seen = Callable[[Draw, Page], Any]


@pytest.fixture
def laid_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Seen:
    """Draws a figure and returns it, laid out and not written."""
    kept: list[Any] = []

    def keep(figure: Any, heading: str, prefix: Path, *_: Any) -> list[Path]:
        kept.append(figure)
        matplotlib.pyplot.close(figure)
        return [prefix]

    def seen(draw: Draw, page: Page) -> Any:
        draw(tmp_path / "figure", page)
        return kept.pop()

    monkeypatch.setattr(sheet, "save", keep)
    return seen


def test_one_of_each_kind_is_looked_at() -> None:
    assert {(name, paper) for name in FOUND for paper in PAPERS} >= SHORT


@pytest.mark.parametrize(("name", "paper"), CASES)
def test_nothing_overlaps_or_leaves_the_figure(
    name: str, paper: Paper | None, laid_out: Seen
) -> None:
    figure = laid_out(FOUND[name], Page(paper))
    if paper is not None:
        assert figure.get_figwidth() == WIDTHS[paper] and figure._suptitle is None
    found = problems(figure)
    assert not found, "\n".join(found[:12])


def test_a_figure_that_no_page_holds_is_said_so(tmp_path: Path) -> None:
    def drawn(paper: Paper | None, height: float) -> str | None:
        with styled(Page(paper)):
            figure, axes = sheet.sheet(5, 1, 3.0, height, least=3.0)
            for axis in axes:
                axis.plot([1, 2], [1, 2])
            paths = sheet.finish(figure, {}, "", tmp_path / "figure")
        return sheet.size_note(paths, Page(paper))

    assert drawn(None, 3.0) is None, "it goes on no page"
    assert drawn("single", 1.4) is None
    said = drawn("single", 3.0)
    assert said is not None and f"{tmp_path / 'figure'} is 15.0 inches tall" in said
    assert "--paper double" in said
    wide = drawn("double", 6.0)
    assert wide is None or "--paper double" not in wide


def _legend_on_data(figure: Any) -> str:
    (legend,) = figure.legends
    legend.set_loc("center")
    return "a legend lies on the panel"


def _large_ticks(figure: Any) -> str:
    for axis in figure.axes:
        axis.tick_params(labelsize=16)
    return "tick '11' on tick"


def _cut_title(figure: Any) -> str:
    figure.axes[0].set_title("a heading that has no room here " * 4)
    return "heading leaves the figure"


def _small_letters(figure: Any) -> str:
    figure.axes[0].set_xlabel("shots", fontsize=6)
    return "label of 6.0 points"


def _hidden_points(figure: Any) -> str:
    low, high = figure.axes[0].get_ylim()
    figure.axes[0].set_ylim(low, (low + high) / 2)
    return "points outside the panel"


@pytest.mark.parametrize(
    "spoil", [_legend_on_data, _large_ticks, _cut_title, _small_letters, _hidden_points]
)
def test_what_a_reader_would_complain_of_is_found(
    spoil: Callable[[Any], str], laid_out: Seen
) -> None:
    def draw(prefix: Path, page: Page) -> list[Path]:
        with styled(page):
            figure, axes = sheet.sheet(2, 2, 2.0, 2.0)
            for axis in axes:
                axis.plot(range(1, 8), range(1, 8), marker="o")
                axis.set_xticks(range(1, 8), [f"1{digit}" for digit in range(1, 8)])
            lines = {"a method": sheet.handle({"color": "black"})}
            return sheet.finish(figure, lines, "", prefix)

    figure = laid_out(draw, Page("single"))
    assert problems(figure) == []
    said = spoil(figure)
    found = problems(figure)
    assert any(said in each for each in found), found


def named(axis: Any) -> tuple[list[str], list[str]]:
    """What stands below a panel and beside it."""
    x, y = ([t.get_text() for t in shown_labels(each)] for each in (axis.xaxis, axis.yaxis))
    return x, y


@pytest.mark.parametrize("paper", [pytest.param(None, marks=pytest.mark.long), "single"])
def test_every_field_of_a_heat_map_can_be_read_off(paper: Paper | None, laid_out: Seen) -> None:
    figure = laid_out(FOUND["maps-much"], Page(paper))
    for axis in figure.axes:
        if axis.images:
            across, down = named(axis)
            assert len(across) == len(down) == 7, "no value is left out"
            assert [text.get_text()[-1] for text in axis.texts].count("*") == 1, "the best"
    (bar,) = (axis for axis in figure.axes if axis.get_label() == "<colorbar>")
    assert ("left out" in " ".join(bar.get_xlabel().split())) == (paper == "single")


@pytest.mark.long
def test_every_parameter_has_its_name(laid_out: Seen) -> None:
    figure = laid_out(FOUND["sensitivity-much"], Page("double"))
    bars = [axis for axis in figure.axes if axis.get_xlabel().startswith("importance")]
    assert bars and all(len(named(axis)[1]) == 5 for axis in bars)
