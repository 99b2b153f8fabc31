"""The figure of sensitivity, as PNG and SVG: accuracy over the budget, and which parameters matter.
Needs the extra `plot` (matplotlib)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from promptbench.errors import UserError
from promptbench.report.importance import Importance
from promptbench.report.plot import matplotlib_pyplot, saved
from promptbench.report.sensitivity import Sensitivity
from promptbench.report.style import COLOURS, GREY, plain, styled

_MOST = 12  # panels in the upper part
_ACROSS = 3


def sensitivity_plot(
    found: Sensitivity, known: Sequence[Importance | None], prefix: Path
) -> list[Path]:
    """Write `prefix`.png and `prefix`.svg: for each source the expected best of k trials of each
    method, with the range of 95% of draws and its own setting dotted; below, for each method how
    much its parameters explain.

    Raises:
        UserError: matplotlib is missing, more sources than a page holds, or a folder that cannot
            be written.
    """
    pyplot = matplotlib_pyplot()
    sources = list(dict.fromkeys(each.source for each in found.spreads))
    if len(sources) > _MOST:
        raise UserError(
            f"a figure holds {_MOST} sources, not {len(sources)}; name fewer --datasets"
        )
    methods = list(dict.fromkeys(each.method for each in found.spreads))
    colours = {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(methods)}
    across = min(max(len(sources), len(methods)), _ACROSS)
    above, below = -(-len(sources) // across), -(-len(methods) // across)
    with styled():
        figure, axes = pyplot.subplots(
            above + below,
            across,
            figsize=(3.4 * across + 0.4, 2.7 * (above + below) + 0.8),
            squeeze=False,
            layout="constrained",
        )
        for axis in axes.flat:
            axis.set_visible(False)
        for axis, source in zip(axes[:above].flat, sources, strict=False):
            _curves(axis, found, source, colours)
        for axis, method, own in zip(axes[above:].flat, methods, known, strict=False):
            _bars(axis, method, own, colours[method])
        handles = [pyplot.Line2D([], [], color=colour) for colour in colours.values()]
        handles.append(pyplot.Line2D([], [], color=GREY, linestyle=":"))
        labels = [*map(plain, colours), "own setting"]
        figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), fontsize=7)
        figure.suptitle(found.title, fontsize=8, parse_math=False)
        return saved(figure, pyplot, prefix)


def _curves(axis: Any, found: Sensitivity, source: str, colours: dict[str, str]) -> None:
    axis.set_visible(True)
    for each in found.spreads:
        if each.source != source:
            continue
        budgets, means, ends = zip(*each.curve, strict=True)
        low, high = zip(*ends, strict=True)
        colour = colours[each.method]
        axis.plot(budgets, means, color=colour, linewidth=1.4)
        axis.fill_between(budgets, low, high, color=colour, alpha=0.12, linewidth=0)
        if each.own is not None:
            axis.axhline(each.own, color=colour, linestyle=":", linewidth=1)
    axis.set_title(f"{source} shots", parse_math=False)
    axis.set_xlabel("drawn trials k")
    axis.set_ylabel("validation: best of k, %")
    axis.xaxis.get_major_locator().set_params(integer=True)


def _bars(axis: Any, method: str, own: Importance | None, colour: str) -> None:
    axis.set_visible(True)
    axis.set_title(plain(method))
    if own is None:
        axis.text(0.5, 0.5, "too few trials,\nor none that differ", ha="center", va="center")
        axis.set_axis_off()
        return
    names = sorted(own.shares, key=lambda name: own.shares[name][0])
    means, deviations = zip(*(own.shares[name] for name in names), strict=True)
    axis.barh([plain(n.rpartition(".")[2]) for n in names], means, xerr=deviations, color=colour)
    axis.set_xlabel(f"importance (forest's R² on unseen trials: {own.explained:.2f})")
