"""The look of figures for papers: colours that everybody can tell apart, and small plain axes."""

from __future__ import annotations

from contextlib import AbstractContextManager

from promptbench.report.plot import matplotlib_pyplot

# Okabe & Ito (2008), without the yellow that vanishes on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
GREY = "0.45"

_STYLE = {
    "font.size": 8,
    "axes.titlesize": 9,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "svg.fonttype": "none",  # text stays text
}


def styled() -> AbstractContextManager[None]:
    """Inside the block, figures are drawn in the style of a paper."""
    context: AbstractContextManager[None] = matplotlib_pyplot().rc_context(_STYLE)
    return context


def plain(text: str) -> str:
    """Text that matplotlib does not read as mathematics, nor leaves out of a legend."""
    return text.replace("$", r"\$").lstrip("_")
