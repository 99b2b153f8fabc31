"""The figures of the field: each method beside what learned nothing, and beside two halves of base.

Places on the horizontal axis are quantities; at each, a method has its marker with the bar over
seeds, a pale band for the interval over images, and the marks of its references.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from promptbench.analysis.field import EPOCH_0, HALVES, MINUS, RANDOM, REFERENCES, beside
from promptbench.analysis.figures import (
    GREY,
    MARKERS,
    Drawing,
    dot,
    finish,
    handle,
    legend,
    over_training,
    plain,
    sheet,
)
from promptbench.analysis.rows import Row, average, select
from promptbench.scores import DEFAULT, load

_FEATURE = {"cls": "CLS feature", "rep": "prompt-token feature"}
_DIRECTION = {
    "mean_cosine": "mean\nfields",
    "new_to_base": "new to\nbase",
    "base_to_base": "base to\nbase",
    "base_coherence": "coherence\nbase",
    "new_coherence": "coherence\nnew",
}
_VARIANCE = {
    "shared_new": "new in\nbase's",
    "own_new": "new in\nits own",
    "subspace": "mean cos²\nof angles",
}
_MAGNITUDE = {"base_magnitude": "base", "new_magnitude": "new"}
_MARKS: dict[str, dict[str, Any]] = {
    EPOCH_0: {"marker": "x", "markersize": 4},
    MINUS: {"marker": "_", "markersize": 8, "color": GREY},
    RANDOM: {"marker": "+", "markersize": 6, "color": GREY},
    HALVES: {"marker": "_", "markersize": 8, "color": "black"},
}
_LINES = {MINUS: "--", RANDOM: ":", HALVES: "-."}
_BAND: dict[str, Any] = {"linewidth": 5.0, "alpha": 0.25, "solid_capstyle": "butt"}


def field(drawing: Drawing, title: str, prefix: Path) -> list[Path]:
    """Agreement of the field between base and new classes, and how it goes with accuracy."""
    final = select(drawing.rows, epoch=None, item="")
    present = [name for name in _FEATURE if select(final, part=f"{name}/unit")]
    figure, axes = sheet(len(present) + 1, 2, width=3.7, height=2.2)
    for (left, right), feature in zip(axes, present, strict=False):
        _panel(left, drawing, final, feature, _DIRECTION)
        left.set_title(f"direction, {_FEATURE[feature]}")
        left.set_ylabel("cosine, coherence")
        _panel(right, drawing, final, feature, _VARIANCE)
        right.set_title(f"top 5 directions, {_FEATURE[feature]}")
        right.set_ylabel("share of variance")
    magnitude, against = axes[len(present)]
    _panel(magnitude, drawing, final, "cls", _MAGNITUDE)
    magnitude.set_title("magnitude, CLS feature")
    magnitude.set_ylabel("norm (of unit features)")
    _against_accuracy(against, drawing, final)
    return finish(figure, legend(drawing, _explained()), title, prefix)


def field_over_training(drawing: Drawing, title: str, prefix: Path) -> list[Path]:
    """The field over epochs: direction, magnitude, directions in common."""
    part = {"part": "cls/unit"}
    panels = [
        ("mean_cosine", part, "mean field, base and new", "cosine"),
        ("magnitude_ratio", part, "magnitude, new / base", "ratio"),
        ("shared_new", part, "new field in base's top 5", "share of variance"),
    ]
    figure, axes = over_training(drawing, panels, {"new": "-"})
    final = select(drawing.rows, epoch=None, item="")
    for axis, (quantity, *_) in zip(axes, panels, strict=True):
        for reference, dashes in _LINES.items():
            found = _mean(select(final, part=beside("cls/unit", reference), quantity=quantity))
            if not math.isnan(found):
                axis.axhline(found, color=GREY, linewidth=0.8, linestyle=dashes)
    plain_line = {"color": GREY, "marker": ""}
    named = {REFERENCES[name]: handle(plain_line, dashes) for name, dashes in _LINES.items()}
    return finish(figure, legend(drawing, named), title, prefix)


def _panel(
    axis: Any, drawing: Drawing, final: Sequence[Row], feature: str, quantities: dict[str, str]
) -> None:
    part = f"{feature}/unit"
    series = [each for each in drawing.styled() if select(drawing.of(each[0], final), part=part)]
    for number, (name, style) in enumerate(series):
        mine = drawing.of(name, final)
        for at, quantity in enumerate(quantities):
            place = at + 0.7 * (number - (len(series) - 1) / 2) / max(len(series), 1)
            ends = [_mean(select(mine, part=part, quantity=f"{quantity}_{e}")) for e in _ENDS]
            axis.plot([place, place], ends, color=style["color"], zorder=1, **_BAND)
            for reference, mark in _MARKS.items():
                rows = select(mine, part=beside(part, reference), quantity=quantity)
                axis.plot(place, _mean(rows), linestyle="", zorder=2, **style | mark)
            dot(axis, place, select(mine, part=part, quantity=quantity), style, "full")
    axis.set_xticks(range(len(quantities)), list(quantities.values()))
    axis.set_xlim(-0.5, len(quantities) - 0.5)
    axis.margins(y=0.1)
    axis.set_ylim(bottom=min(0, axis.get_ylim()[0]))


_ENDS = ("low", "high")


def _mean(rows: list[Row]) -> float:
    """The average, nan without rows."""
    found = average([row for row in rows if not math.isnan(row.value)])
    return math.nan if found is None else found.mean


def _explained() -> dict[str, Any]:
    """What the marks are that all methods have."""
    band = handle({"color": "black", "marker": "", **_BAND}, "-")
    marks = {
        REFERENCES[name]: handle({"color": "black"} | mark, "") for name, mark in _MARKS.items()
    }
    return {"95% interval over images": band, **marks}


def _against_accuracy(axis: Any, drawing: Drawing, final: list[Row]) -> None:
    """One point per run: accuracy on new classes over the agreement of direction."""
    metric = load()
    datasets = list(dict.fromkeys(row.dataset for row in final))
    for name, style in drawing.styled():
        mine = select(drawing.of(name, final), target="new")
        for dataset, seed in dict.fromkeys((row.dataset, row.seed) for row in mine):
            run = select(mine, dataset=dataset, seed=seed)
            across = average(select(run, part="cls/unit", quantity="new_to_base"))
            up = average(select(run, quantity=DEFAULT))
            if across is not None and up is not None:
                marker = MARKERS[datasets.index(dataset) % len(MARKERS)]
                own = {**style, "marker": marker} if drawing.compared else style
                axis.plot(across.mean, up.mean, linestyle="", markersize=4, **own)
    axis.set_xlabel("mean cosine of new Δ to the mean base field")
    axis.set_ylabel(f"{metric.short}, new classes ({metric.unit})")
    axis.set_title("each run")
    if drawing.compared and len(datasets) > 1:
        named = [(plain(name), MARKERS[i % len(MARKERS)]) for i, name in enumerate(datasets)]
        markers = [handle({"color": GREY, "marker": marker}, "") for _, marker in named]
        axis.legend(markers, [name for name, _ in named], fontsize=6, frameon=False)
