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
from promptbench.report.importance import LEAST, Importance
from promptbench.report.sensitivity import Sensitivity
from promptbench.report.series import styles_of

_MOST = 12  # panels in the upper part
_ACROSS = 3


def sensitivity_plot(
    found: Sensitivity, known: Sequence[Importance | None], prefix: Path, on: Page | None = None
) -> list[Path]:
    """Write `prefix`.png and `prefix`.svg: for each source the expected best of k trials of each
    method, with the range of 95% of draws and its own setting dotted; below, for each method how
    much its parameters explain, where that is known of one.

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
        most = max((len(own.shares) for own in known if own is not None), default=1)
        height = max(2.3, 0.17 * most + 1.0)
        explained = list(zip(styles.items(), known, strict=True))
        if not any(known):  # empty panels would only repeat what the table says
            explained = []
        figure, axes = sheet(len(sources) + len(explained), _ACROSS, 3.3, height, least=2.2)
        for axis, source in zip(axes, sources, strict=False):
            _curves(axis, found, source, styles)
        for axis, ((method, style), own) in zip(axes[len(sources) :], explained, strict=False):
            _bars(axis, method, own, style["color"])
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
    axis.set_xlabel("drawn trials k")
    axis.set_ylabel("validation: best of k, %")
    axis.xaxis.get_major_locator().set_params(integer=True)


def _bars(axis: Any, method: str, own: Importance | None, colour: str) -> None:
    axis.set_title(f"{plain(method)}: which parameters matter")
    if own is None:
        axis.text(
            0.5,
            0.5,
            f"fewer than {LEAST} drawn trials,\nor none that differ",
            ha="center",
            va="center",
        )
        axis.set_axis_off()
        return
    names = sorted(own.shares, key=lambda name: own.shares[name][0])
    means, deviations = zip(*(own.shares[name] for name in names), strict=True)
    axis.barh([plain(n.rpartition(".")[2]) for n in names], means, xerr=deviations, color=colour)
    axis.set_xlabel(f"importance (forest's R² on unseen trials: {own.explained:.2f})")
    axis.grid(axis="y", visible=False)
