"""The figures of the analyses, for a paper: one function each, from rows to PNG and SVG."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from promptbench.analysis import field_plots
from promptbench.analysis.figures import (
    GREY,
    LINES,
    Drawing,
    base_new,
    dot,
    finish,
    handle,
    legend,
    line,
    over_training,
    sheet,
)
from promptbench.analysis.rows import Row, average, select
from promptbench.observing.norms import READOUTS
from promptbench.planning.request import BASELINE

_FEATURE = {"cls": "CLS feature", "rep": "prompt-token feature"}
_TOLERANCE = {"tolerance": "full", "tolerance_macro": "none"}
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
                dot(readout, at + place, rows, style, "full" if target == "base" else "none")
    readout.set_xticks(range(len(READOUTS)), [stage.replace(" (", "\n(") for stage in READOUTS])
    output.set_title("block output")
    attention.set_title("attention output")
    readout.set_title("behind the last block")
    output.set_ylabel(_RATIO)
    for axis in (output, attention, readout):
        _ratio_axis(axis)
    return finish(figure, legend(drawing, base_new()), title, prefix)


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
    return finish(figure, legend(drawing, base_new()), title, prefix)


def geometry(drawing: Drawing, title: str, prefix: Path) -> list[Path]:
    """Tolerance over uniformity on base and on new classes; the zero-shot model as a star.

    The features of prompt tokens, which lie elsewhere, have panels of their own. Filled markers are
    tolerance over pairs, hollow ones its mean over classes.
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
    hollow = handle({"color": "black", "marker": "o"}, "", "none")
    named = {"zero-shot": handle(star, ""), "hollow: mean over classes (macro)": hollow}
    entries = legend(drawing, named)
    for row in select(final, method=BASELINE):
        entries.pop(row.title if drawing.compared else "", None)
    return finish(figure, entries, title, prefix)


def norms_over_training(drawing: Drawing, title: str, prefix: Path) -> list[Path]:
    """The norm ratio over epochs: mean over blocks with prompts, and what the head reads."""
    panels = [
        ("ratio", {"part": "output"}, "block output, mean over blocks", _RATIO),
        ("gap", {"part": "output"}, "block output, mean over blocks", "mean |‖p‖ − ‖c‖| / ‖c‖"),
        ("ratio", {"part": "projection (mean)"}, "mean token, projected", _RATIO),
    ]
    figure, _ = over_training(drawing, panels, LINES)
    return finish(figure, legend(drawing, base_new()), title, prefix)


FIGURES: dict[str, Callable[[Drawing, str, Path], list[Path]]] = {
    "norms": norms,
    "attention": attention,
    "geometry": geometry,
    "field": field_plots.field,
}
OVER_TRAINING: dict[str, Callable[[Drawing, str, Path], list[Path]]] = {
    "norms": norms_over_training,
    "field": field_plots.field_over_training,
}

# --- parts of figures ---------------------------------------------------------------------------


def _point(axis: Any, rows: list[Row], feature: str, style: dict[str, Any]) -> None:
    across = average(select(rows, part=feature, quantity="uniformity"))
    for quantity, fill in _TOLERANCE.items():
        up = average(select(rows, part=feature, quantity=quantity))
        if across is not None and up is not None:
            lengths = {"xerr": across.bars, "yerr": up.bars}
            bars = {name: [[length] for length in pair] for name, pair in lengths.items()}
            look = {"markersize": 5, "elinewidth": 0.6, "fillstyle": fill} | style
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
