"""Uniformity and tolerance of image features."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from promptbench.analysis import geometry
from promptbench.analysis.figures import FEATURES, GREY, LINES, handle, ink, legend, sheet
from promptbench.analysis.summary import Columns, mean
from promptbench.api import Analysis, Drawing, Drawn, Look, Number, average, select
from promptbench.planning.request import BASELINE
from promptbench.statistics import ANY

_FILLS = {"tolerance": "full", "tolerance_macro": "none"}


class Geometry(Analysis):
    title = "Uniformity and tolerance of image features"
    order = 3
    columns: ClassVar[Columns] = {
        "unif.\nbase": mean(part="cls", quantity="uniformity", target="base"),
        "\nnew": mean(part="cls", quantity="uniformity", target="new"),
        "tol.\nbase": mean(part="cls", quantity="tolerance", target="base"),
        "\nnew ": mean(part="cls", quantity="tolerance", target="new"),
        "macro\nbase": mean(part="cls", quantity="tolerance_macro", target="base"),
        "\nnew  ": mean(part="cls", quantity="tolerance_macro", target="new"),
        "rep:\nunif.": mean(part="rep", quantity="uniformity", target="new"),
        "\ntol.": mean(part="rep", quantity="tolerance", target="new"),
    }
    notes = (
        "uniformity: lower is more even; tolerance: mean cosine of pairs within classes "
        "(large classes have most of them); macro: its mean over classes; rep: the feature of "
        "the prompt tokens, on new classes",
    )

    def rows(self, look: Look) -> Iterator[Number]:
        for name, found in look.sweeps.items():
            for feature, quantity, value in geometry.numbers(found):
                bounds = geometry.BOUNDS.get(quantity, ANY)
                yield look.number(name, quantity, value, part=feature, bounds=bounds)

    def figure(self, drawing: Drawing) -> Drawn:
        """Draw tolerance over uniformity on base and on new classes; the zero-shot model as a star.

        The features of prompt tokens, which lie elsewhere, have panels of their own. Filled markers
        are tolerance over pairs, hollow ones its mean over classes.
        """
        final = select(drawing.rows, epoch=None)
        present = [name for name in FEATURES if select(final, part=name)]
        figure, axes = sheet(len(present), 2, width=3.2, height=2.4, least=2.2)
        panels = [(feature, target) for feature in present for target in LINES]
        for axis, (feature, target) in zip(axes.flat, panels, strict=True):
            for name, style in drawing.styled():
                rows = select(drawing.of(name, final), target=target)
                if drawing.compared and all(row.method == BASELINE for row in rows):
                    continue  # the star
                if feature == "cls":
                    star = {**style, "marker": "*", "markersize": 9}
                    _point(axis, rows, "zero-shot", star | _colour(drawing.compared))
                _point(axis, rows, feature, style)
            axis.set_title(f"{FEATURES[feature]}, {target} classes")
            axis.set_xlabel("uniformity, log E exp(−2‖x−y‖²)\n← more even")
            axis.set_ylabel("tolerance (mean cosine\nof same-class pairs)")
        return figure, _entries(drawing, final)


def _point(axis: Any, rows: list[Number], feature: str, style: dict[str, Any]) -> None:
    across = average(select(rows, part=feature, quantity="uniformity"))
    for quantity, fill in _FILLS.items():
        up = average(select(rows, part=feature, quantity=quantity))
        if across is not None and up is not None:
            lengths = {"xerr": across.bars, "yerr": up.bars}
            bars = {name: [[length] for length in pair] for name, pair in lengths.items()}
            look = {"markersize": 5, "elinewidth": 0.6, "fillstyle": fill} | style
            axis.errorbar(across.mean, up.mean, linestyle="", **bars, **look)


def _colour(compared: bool) -> dict[str, Any]:
    """The star is of all methods where these are compared, of its dataset otherwise."""
    return {"color": GREY} if compared else {}


def _entries(drawing: Drawing, final: list[Number]) -> dict[str, Any]:
    """The legend; the zero-shot model is the star, not a series beside it."""
    star = {"color": GREY if drawing.compared else ink(), "marker": "*"}
    hollow = handle({"color": ink(), "marker": "o"}, "", "none")
    named = {"zero-shot": handle(star, ""), "hollow: mean over classes (macro)": hollow}
    entries = legend(drawing, named)
    for row in select(final, method=BASELINE):
        entries.pop(row.title if drawing.compared else "", None)
    return entries
