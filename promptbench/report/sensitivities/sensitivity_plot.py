"""The figure of sensitivity, as PNG and SVG: accuracy over the budget, and which parameters matter.
Needs the extra `plot` (matplotlib)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from promptbench.errors import UserError
from promptbench.figures.looks import GREY
from promptbench.figures.sheet import finish, handle, patch, sheet
from promptbench.figures.style import Page, plain, styled
from promptbench.report.sensitivities.importance import Importance
from promptbench.report.sensitivities.sensitivity import Sensitivity
from promptbench.report.series import styles_of

_MOST = 12  # panels in the upper part
_ACROSS = 3
_COMFORTABLE, _STACKED = 2.2, 3  # inches of a panel, for so many panels in a column of a paper
_ROOM = 0.9  # inches of a panel of bars for what is not one: title, numbers, label


def sensitivity_plot(
    found: Sensitivity, known: Sequence[Importance | None], prefix: Path, on: Page | None = None
) -> list[Path]:
    """Write `prefix`.png and `prefix`.svg: for each source the expected best of k trials of each
    method, with the range of 95% of draws and its own setting dotted; below, for each method of
    which that is known how much its parameters explain.

    Raises:
        UserError: matplotlib is missing, more sources than a page holds, or a folder that cannot
            be written.
    """
    sources = list(dict.fromkeys(each.source for each in found.spreads))
    if len(sources) > _MOST:
        raise UserError(
            f"a figure holds {_MOST} sources, not {len(sources)}; name fewer --datasets"
        )
    names = {each.method: each.name or each.method for each in found.spreads}
    with styled(on):
        styles = dict(zip(names, styles_of(list(names.values())), strict=True))
        explained = [  # an empty panel would only repeat what the table says
            (method, style["color"], own)
            for (method, style), own in zip(styles.items(), known, strict=True)
            if own is not None
        ]
        most = max((len(own.shares) for *_, own in explained), default=1)
        height = max(2.3, 0.17 * most + _ROOM)
        panels = len(sources) + len(explained)
        least = {"least": _COMFORTABLE} if panels <= _STACKED else {}
        figure, axes = sheet(panels, _ACROSS, 3.3, height, **least)
        across = axes[0].get_gridspec().ncols
        for number, (axis, source) in enumerate(zip(axes, sources, strict=False)):
            _curves(axis, found, source, styles)
            if number % across == 0:
                axis.set_ylabel("validation, %")
        for axis, own in zip(axes[len(sources) :], explained, strict=True):
            _bars(axis, *own)
        entries = {name: handle(style) for name, style in styles.items()}
        entries["95% of draws"] = patch(GREY, alpha=0.25, linewidth=0)
        entries["own setting"] = handle({"color": GREY}, ":")
        return finish(figure, entries, found.title, prefix)


def _curves(axis: Any, found: Sensitivity, source: str, styles: dict[str, dict[str, Any]]) -> None:
    for each in found.spreads:
        if each.source != source:
            continue
        budgets, means, ends = zip(*each.curve, strict=True)
        low, high = zip(*ends, strict=True)
        style = styles[each.method]
        colour = style["color"]
        axis.plot(budgets, means, markevery=max(1, len(budgets) // 5), **style)
        axis.fill_between(budgets, low, high, color=colour, alpha=0.12, linewidth=0)
        if each.own is not None:
            axis.axhline(each.own, color=colour, linestyle=":", linewidth=1)
    axis.set_title(source, parse_math=False)
    axis.set_xlabel("best of k drawn trials")
    axis.xaxis.get_major_locator().set_params(integer=True)


def _bars(axis: Any, method: str, colour: str, own: Importance) -> None:
    axis.set_title(plain(method))
    names = sorted(own.shares, key=lambda name: own.shares[name][0])
    means, deviations = zip(*(own.shares[name] for name in names), strict=True)
    axis.barh([plain(n.rpartition(".")[2]) for n in names], means, xerr=deviations, color=colour)
    axis.set_xlabel(f"importance (R² {own.explained:.2f})")
    axis.grid(axis="y", visible=False)
