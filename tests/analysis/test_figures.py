"""What figures share: a legend that is not cut off at their sides."""

from __future__ import annotations

from pathlib import Path

import pytest

from promptbench.analyses.norms import _ratio_axis
from promptbench.analysis import figures
from promptbench.figures import sheet
from promptbench.figures.fitting import shown_labels


@pytest.mark.parametrize("name", ["CoOp", "MMRL++ (first 60 images; Recipe.epochs = 3)", "x" * 70])
def test_a_legend_is_as_wide_as_its_figure_at_most(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with figures.styled():
        figure, _ = figures.sheet(1, 3)
        style = {"color": "black", "marker": "o"}
        handles = {f"{name}{number}": figures.handle(style) for number in range(6)}
        widths = []

        def saved(drawn: object, *_: object) -> list[Path]:
            figure.canvas.draw()
            widths.append(figure.legends[0].get_window_extent().width / figure.dpi)
            return []

        monkeypatch.setattr(sheet, "save", saved)
        figures.finish(figure, handles, "title", tmp_path / "x")
    assert 0 < widths[0] <= figure.get_figwidth()


@pytest.mark.parametrize(
    "values", [(0.88, 1.03), (1.001, 1.004), (0.4, 1.1), (0.03, 1.2), (2.0, 300.0)]
)
def test_a_logarithmic_axis_has_labels_however_short(values: tuple[float, float]) -> None:
    with figures.styled():
        figure, axes = figures.sheet(1, 1)
        axis = axes[0, 0]
        axis.plot(values)
        _ratio_axis(axis)
        figure.draw_without_rendering()
        names = [text.get_text() for text in shown_labels(axis.yaxis)]
        figures.sheets.matplotlib_pyplot().close(figure)
    assert 2 <= len(set(names)) == len(names) <= 12, names
