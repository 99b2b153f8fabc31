"""The one style of all figures: plain axes, letters as papers print them, and the widths of papers.

A figure is drawn inside `styled(page)`. The page says how wide it is; a matplotlib style of one's
own is read after ours and wins.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from promptbench.errors import UserError, unknown
from promptbench.figures.looks import Look

# Inches: a column, and the text, of two-column conference styles (CVPR, ICML, ACL within 2 %).
WIDTHS: Mapping[str, float] = {"single": 3.25, "double": 6.75}
Paper = Literal["single", "double"]
_OURS = {
    "font.size": 8,
    "axes.titlesize": 8.5,
    "axes.labelsize": 8,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8,
    "figure.titlesize": 8.5,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "lines.linewidth": 1.2,
    "lines.markersize": 4,
    "legend.frameon": False,
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "promptbench",  # the same figure gives the same bytes
    "pdf.fonttype": 42,  # TrueType, which submission systems ask for
}


@dataclass(frozen=True)
class Page:
    """Where a figure goes.

    Args:
        paper: a column of a paper, or its two: no title, that width, a PDF beside the others; None:
            as wide as its panels want to be, with its title.
        style: a matplotlib style by name, or the file of one.
    """

    paper: Paper | None = None
    style: str | None = None

    @property
    def width(self) -> float | None:
        """The width in inches; None: free."""
        return None if self.paper is None else WIDTHS[self.paper]

    @property
    def formats(self) -> tuple[str, ...]:
        """The formats that figures are written in."""
        return ("png", "svg") if self.paper is None else ("png", "svg", "pdf")


_PAGE: ContextVar[Page] = ContextVar("page")


def page() -> Page:
    """The page of the block that draws now."""
    return _PAGE.get(Page())


@contextmanager
def styled(on: Page | None = None) -> Iterator[None]:
    """Inside the block, figures are drawn in our style on this page; None: on that of the block
    around, if there is one.

    Raises:
        UserError: matplotlib is missing, or the page's style cannot be read.
    """
    own = on or page()
    settings = {**_OURS, **read_style(own.style)}
    with matplotlib_pyplot().rc_context(settings):
        token = _PAGE.set(own)
        try:
            yield
        finally:
            _PAGE.reset(token)


def matplotlib_pyplot() -> Any:
    """matplotlib without a display.

    Raises:
        UserError: matplotlib is missing.
    """
    try:
        import matplotlib
    except ImportError as error:
        raise UserError(
            "the plot needs the package matplotlib: pip install 'promptbench-vlm[plot]'"
        ) from error
    matplotlib.use("Agg")
    from matplotlib import pyplot

    return pyplot


def read_style(style: str | None) -> dict[str, Any]:
    """The settings of a matplotlib style: a name, or a file; none without one.

    Raises:
        UserError: no such name or file, or lines that matplotlib does not understand.
    """
    if style is None:
        return {}
    library = matplotlib_pyplot().style
    if style in library.library:
        return dict(library.library[style])
    path = Path(style).expanduser()
    if path.is_dir() or not path.is_file():
        if path.suffix or len(path.parts) > 1:
            raise UserError(f"--style: the file {style} does not exist")
        raise unknown("style", style, library.available, "or the file of a matplotlib style")
    return _of_file(path)


def _of_file(path: Path) -> dict[str, Any]:
    from matplotlib import rc_params_from_file

    logger, heard = logging.getLogger("matplotlib"), _Heard()
    logger.addHandler(heard)
    try:
        found = dict(rc_params_from_file(path, use_default_template=False))
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"--style: {path} cannot be read as a matplotlib style: {error}") from error
    finally:
        logger.removeHandler(heard)
    if heard.said or not found:
        why = " ".join(heard.said[0].split()) if heard.said else "it sets nothing"
        raise UserError(f"--style: {path} is not a matplotlib style: {why}")
    return found


class _Heard(logging.Handler):
    """What matplotlib warns of while it reads a file."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(record.getMessage())


def colour(look: Look) -> str:
    """A look's colour in the style in force: of the colours of a style of one's own, if it has
    any, else ours for a light or a dark figure."""
    import matplotlib

    own = read_style(page().style).get("axes.prop_cycle")
    cycle = own.by_key().get("color") if own is not None else None
    if cycle:
        return str(cycle[look.place % len(cycle)])
    from matplotlib.colors import to_rgb

    red, green, blue = to_rgb(matplotlib.rcParams["axes.facecolor"])
    return look.dark if 0.3 * red + 0.6 * green + 0.1 * blue < 0.5 else look.colour


def ink() -> str:
    """The colour of letters and plain lines in the style in force."""
    import matplotlib

    return str(matplotlib.rcParams["text.color"])


def plain(text: str) -> str:
    """Text that matplotlib does not read as mathematics, nor leaves out of a legend."""
    return text.replace("$", r"\$").lstrip("_")
