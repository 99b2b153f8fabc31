"""The figures of the analyses, for a paper: one function each, from rows to PNG and SVG."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from promptbench.analysis.figures import (
    GREY,
    LINES,
    MARKERS,
    Drawing,
    finish,
    handle,
    legend,
    line,
    plain,
    sheet,
)
from promptbench.analysis.rows import Row, average, select
from promptbench.observing.norms import READOUTS
from promptbench.planning.request import BASELINE

_FILL = {"cls": "full", "rep": "none"}
_FEATURE = {"cls": "CLS feature", "rep": "prompt-token feature"}
_RATIO = "‖prompt token‖ / ‖CLS‖ (ratio)"


def norms(drawing: Drawing, title: str, prefix: Path) -> list[Path]:
    """The norm ratio per block at both stages, and behind the last block; log scale."""
    figure, ((output, attention, readout),) = sheet(1, 3)
    final = select(drawing.rows, epoch=None, quantity="ratio")
    for axis, stage in ((output, "output"), (attention, "attention")):
        for name, style in drawing.styled():
            for target, dashes in LINES.items():
                rows = select(drawing.of(name, final), part=stage, target=target)
                line(axis, rows, lambda row: row.block, style, dashes)
        axis.set_xlabel("block")
        axis.set_xticks(_places(final, lambda row: row.block))
    series = drawing.styled()
    for number, (name, style) in enumerate(series):
        for shift, target in ((-0.09, "base"), (0.09, "new")):
            place = 0.5 * (number - (len(series) - 1) / 2) / max(len(series), 1) + shift
            for at, stage in enumerate(READOUTS):
                rows = select(drawing.of(name, final), part=stage, target=target)
                _dot(readout, at + place, rows, style, "full" if target == "base" else "none")
    readout.set_xticks(range(len(READOUTS)), [stage.replace(" (", "\n(") for stage in READOUTS])
    output.set_title("block output")
    attention.set_title("attention output")
    readout.set_title("behind the last block")
    output.set_ylabel(_RATIO)
    for axis in (output, attention, readout):
        _ratio_axis(axis)
    return finish(figure, legend(drawing, _base_new()), title, prefix)


def attention(drawing: Drawing, title: str, prefix: Path) -> list[Path]:
    """Mass from CLS and from prompt tokens to each group; entropy and saturation of CLS rows."""
    figure, axes = sheet(3, 3, height=1.9)
    final = select(drawing.rows, epoch=None)
    groups = {"prompt": "prompt tokens", "patch": "patches", "cls": "CLS"}
    panels = [
        *((axes[0][i], "cls", f"to_{key}", f"CLS → {to}") for i, (key, to) in _numbered(groups)),
        *((axes[1][i], "prompt", f"to_{k}", f"prompts → {to}") for i, (k, to) in _numbered(groups)),
        (axes[2][0], "cls", "entropy", "entropy of CLS rows"),
        (axes[2][1], "prompt", "entropy", "entropy of prompt rows"),
        (axes[2][2], "cls", "saturated", "saturated CLS rows"),
    ]
    for axis, group, quantity, heading in panels:
        for name, style in drawing.styled():
            for target, dashes in LINES.items():
                rows = select(drawing.of(name, final), part=group, quantity=quantity, target=target)
                line(axis, rows, lambda row: row.block, style, dashes)
        axis.set_title(heading)
        axis.set_xlabel("block")
        axis.set_xticks(_places(final, lambda row: row.block)[::2])
        axis.set_ylim(bottom=0)
        units = {"entropy": "entropy (nats)", "saturated": "share with max > 0.9"}
        axis.set_ylabel(units.get(quantity, "attention mass (share)"))
    return finish(figure, legend(drawing, _base_new()), title, prefix)


def geometry(drawing: Drawing, title: str, prefix: Path) -> list[Path]:
    """Tolerance over uniformity on base and on new classes; the zero-shot model as a star.

    The features of prompt tokens, which lie elsewhere, have panels of their own.
    """
    final = select(drawing.rows, epoch=None)
    present = [name for name in _FEATURE if select(final, part=name)]
    figure, axes = sheet(len(present), 2, width=3.2, height=2.4)
    panels = [
        (axes[i][j], feature, target)
        for i, feature in enumerate(present)
        for j, target in enumerate(LINES)
    ]
    for axis, feature, target in panels:
        for name, style in drawing.styled():
            rows = select(drawing.of(name, final), target=target)
            if drawing.compared and all(row.method == BASELINE for row in rows):
                continue  # the star
            own = {**style, "marker": "*", "markersize": 9}
            if feature == "cls":
                zero = own if not drawing.compared else {**own, "color": GREY}
                _point(axis, rows, "zero-shot", zero)
            _point(axis, rows, feature, style)
        axis.set_title(f"{_FEATURE[feature]}, {target} classes")
        axis.set_xlabel("uniformity, log E exp(−2‖x−y‖²)\n← more even")
        axis.set_ylabel("tolerance (mean cosine\nof same-class pairs)")
    star = {"color": GREY if drawing.compared else "black", "marker": "*"}
    entries = legend(drawing, {"zero-shot": handle(star, "")})
    for row in select(final, method=BASELINE):
        entries.pop(row.title if drawing.compared else "", None)
    return finish(figure, entries, title, prefix)


def field(drawing: Drawing, title: str, prefix: Path) -> list[Path]:
    """Agreement of the field between base and new classes, and how it goes with accuracy."""
    figure, (upper, lower) = sheet(2, 2, width=3.6, height=2.2)
    panels = [
        (upper[0], "cosine", ("mean_cosine", "new_to_base", "base_to_new", "base_to_base")),
        (upper[1], "norm (of unit features)", ("base_magnitude", "new_magnitude")),
        (lower[0], "share of variance", ("shared_new", "own_new", "subspace", "chance")),
    ]
    headings = ("direction", "magnitude", "directions in common, top 5")
    final = select(drawing.rows, epoch=None, item="")
    series = drawing.styled()
    for (axis, unit, quantities), heading in zip(panels, headings, strict=True):
        for number, (name, style) in enumerate(series):
            for at, quantity in enumerate(quantities):
                place = at + 0.6 * (number - (len(series) - 1) / 2) / max(len(series), 1)
                for feature, fill in _FILL.items():
                    part = f"{feature}/unit"
                    rows = select(drawing.of(name, final), part=part, quantity=quantity)
                    _dot(axis, place + (0.08 if feature == "rep" else 0), rows, style, fill)
        ticks = [_SPOKEN.get(quantity, quantity) for quantity in quantities]
        axis.set_xticks(range(len(quantities)), ticks)
        axis.set_ylabel(unit)
        axis.set_title(heading)
        axis.set_xlim(-0.5, len(quantities) - 0.5)
        axis.margins(y=0.1)
        axis.set_ylim(bottom=min(0, axis.get_ylim()[0]))
    _against_accuracy(lower[1], drawing, final)
    return finish(figure, legend(drawing, _features(drawing)), title, prefix)


def norms_over_training(drawing: Drawing, title: str, prefix: Path) -> list[Path]:
    """The norm ratio over epochs: mean over blocks with prompts, and what the head reads."""
    panels = [
        ("ratio", {"part": "output"}, "block output, mean over blocks", _RATIO),
        ("gap", {"part": "output"}, "block output, mean over blocks", "mean |‖p‖ − ‖c‖| / ‖c‖"),
        ("ratio", {"part": "projection (mean)"}, "mean token, projected", _RATIO),
    ]
    return _over_training(drawing, panels, LINES, title, prefix)


def field_over_training(drawing: Drawing, title: str, prefix: Path) -> list[Path]:
    """The field over epochs: direction, magnitude, directions in common."""
    part = {"part": "cls/unit"}
    panels = [
        ("mean_cosine", part, "mean field, base and new", "cosine"),
        ("magnitude_ratio", part, "magnitude, new / base", "ratio"),
        ("shared_new", part, "new field in base's top 5", "share of variance"),
    ]
    return _over_training(drawing, panels, {"new": "-"}, title, prefix)


FIGURES: dict[str, Callable[[Drawing, str, Path], list[Path]]] = {
    "norms": norms,
    "attention": attention,
    "geometry": geometry,
    "field": field,
}
OVER_TRAINING: dict[str, Callable[[Drawing, str, Path], list[Path]]] = {
    "norms": norms_over_training,
    "field": field_over_training,
}

# --- parts of figures ---------------------------------------------------------------------------

_SPOKEN = {
    "mean_cosine": "mean fields",
    "new_to_base": "new to\nmean base",
    "base_to_new": "base to\nmean new",
    "base_to_base": "base to\nmean base",
    "base_magnitude": "base",
    "new_magnitude": "new",
    "shared_new": "new in\nbase's",
    "own_new": "new in\nits own",
    "subspace": "mean cos²\nof angles",
}


def _over_training(
    drawing: Drawing,
    panels: list[tuple[str, dict[str, str], str, str]],
    targets: dict[str, str],
    title: str,
    prefix: Path,
) -> list[Path]:
    figure, (axes,) = sheet(1, len(panels))
    rows = [row for row in drawing.rows if row.epoch is not None and not row.item]
    for axis, (quantity, part, heading, unit) in zip(axes, panels, strict=True):
        for name, style in drawing.styled():
            for target, dashes in targets.items():
                own = select(drawing.of(name, rows), quantity=quantity, target=target, **part)
                line(axis, own, lambda row: row.epoch, style, dashes)
        axis.set_title(heading)
        axis.set_xlabel("epochs done")
        axis.set_ylabel(unit)
        if quantity == "ratio" or quantity == "magnitude_ratio":
            axis.axhline(1, color=GREY, linewidth=0.8, linestyle=":")
    extra = _base_new() if len(targets) > 1 else {}
    return finish(figure, legend(drawing, extra), title, prefix)


def _against_accuracy(axis: Any, drawing: Drawing, final: list[Row]) -> None:
    """One point per run: accuracy on new classes over the agreement of direction."""
    datasets = list(dict.fromkeys(row.dataset for row in final))
    for name, style in drawing.styled():
        mine = select(drawing.of(name, final), target="new")
        for dataset, seed in dict.fromkeys((row.dataset, row.seed) for row in mine):
            run = select(mine, dataset=dataset, seed=seed)
            across = average(select(run, part="cls/unit", quantity="new_to_base"))
            up = average(select(run, quantity="accuracy"))
            if across is not None and up is not None:
                marker = MARKERS[datasets.index(dataset) % len(MARKERS)]
                own = {**style, "marker": marker} if drawing.compared else style
                axis.plot(across.mean, up.mean, linestyle="", markersize=4, **own)
    axis.set_xlabel("mean cosine of new Δ to the mean base field")
    axis.set_ylabel("accuracy, new classes (%)")
    axis.set_title("each run")
    if drawing.compared and len(datasets) > 1:
        named = [(plain(name), MARKERS[i % len(MARKERS)]) for i, name in enumerate(datasets)]
        markers = [handle({"color": GREY, "marker": marker}, "") for _, marker in named]
        axis.legend(markers, [name for name, _ in named], fontsize=6, frameon=False)


def _dot(axis: Any, place: float, rows: list[Row], style: dict[str, Any], fill: str) -> None:
    """An average with its bar; nothing where the quantity is not defined."""
    found = average([row for row in rows if not math.isnan(row.value)])
    if found is not None:
        axis.errorbar(
            place,
            found.mean,
            [[length] for length in found.bars],
            linestyle="",
            markersize=4,
            elinewidth=0.7,
            fillstyle=fill,
            **style,
        )


def _point(axis: Any, rows: list[Row], feature: str, style: dict[str, Any]) -> None:
    across = average(select(rows, part=feature, quantity="uniformity"))
    up = average(select(rows, part=feature, quantity="tolerance"))
    if across is not None and up is not None:
        lengths = {"xerr": across.bars, "yerr": up.bars}
        bars = {name: [[length] for length in pair] for name, pair in lengths.items()}
        look = {"markersize": 5, "elinewidth": 0.6} | style
        axis.errorbar(across.mean, up.mean, linestyle="", **bars, **look)


def _ratio_axis(axis: Any) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axis.set_yscale("log")
    axis.axhline(1, color=GREY, linewidth=0.8, linestyle=":")
    axis.yaxis.set_major_locator(LogLocator(subs=(1, 1.5, 2, 3, 5, 7)))
    axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.yaxis.set_minor_formatter(NullFormatter())


def _places(rows: list[Row], along: Callable[[Row], int | None]) -> list[int]:
    return sorted({place for row in rows if (place := along(row)) is not None})


def _numbered(groups: dict[str, str]) -> list[tuple[int, tuple[str, str]]]:
    return list(enumerate(groups.items()))


def _base_new() -> dict[str, Any]:
    black = {"color": "black", "marker": "o"}
    return {
        "base classes": handle(black, "-"),
        "new classes": handle(black, "--", "none"),
    }


def _features(drawing: Drawing) -> dict[str, Any]:
    """What filled and hollow markers are, where there are hollow ones."""
    if not any(row.part.startswith("rep") for row in drawing.rows):
        return {}
    black = {"color": "black", "marker": "o"}
    return {text: handle(black, "", _FILL[name]) for name, text in _FEATURE.items()}
