"""Sheets of panels: as many side by side as a page has room for, the legend below all of them, the
heading above; and the files that they are written to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from promptbench.errors import UserError
from promptbench.figures.fitting import fit, in_columns, wrapped
from promptbench.figures.style import Page, matplotlib_pyplot, page, plain

_LEAST = 1.5  # inches of a panel
_DPI = 200
TALLEST = 9.0  # inches of text that a page of usual conference styles has
_LEGEND = {"handlelength": 2.0, "handletextpad": 0.5, "columnspacing": 1.2, "borderpad": 0.2}
_MOST_COLUMNS = 6


def sheet(
    panels: int, across: int, width: float, height: float, least: float = _LEAST, **more: Any
) -> tuple[Any, list[Any]]:
    """A figure and its axes in reading order.

    Args:
        panels: how many.
        across: how many of them side by side, at most; fewer in the column of a paper.
        least: inches below which no panel is in the column of a paper.
        width, height: inches of a panel where the page does not say how wide a figure is.
        more: for matplotlib's `subplots`.
    """
    across = max(1, min(across, panels))
    free = page().width
    if free is not None:
        across = min(across, max(1, int(free / least)))
        height = max(1.35, min(height, free / across * height / width))
    down = -(-panels // across)
    size = (free or max(width * across, 2 * _LEAST), height * down)
    figure, axes = matplotlib_pyplot().subplots(
        down, across, figsize=size, squeeze=False, layout="constrained", **more
    )
    for axis in axes.flat[panels:]:
        axis.set_visible(False)
    return figure, list(axes.flat[:panels])


def finish(
    figure: Any, entries: Mapping[str, Any], heading: str, prefix: Path, dpi: int = _DPI
) -> list[Path]:
    """Set the legend below a figure and the heading above it, see that nothing overlaps, and write
    it as `prefix`.png and .svg, and .pdf for papers.

    Papers have captions: their figures have the heading as the title in their files' metadata.

    Args:
        entries: handles of the legend by their text.

    Raises:
        UserError: a folder that cannot be written, or a style that asks for a LaTeX that fails.
    """
    lay_out(figure, entries, heading)
    return save(figure, heading, prefix, dpi)


def lay_out(figure: Any, entries: Mapping[str, Any], heading: str) -> None:
    """Legend, heading, and room for both: panels keep their height."""
    import matplotlib

    wide = figure.get_figwidth()
    tall = figure.get_figheight()
    if entries:
        size = matplotlib.rcParams["legend.fontsize"]
        points = matplotlib.font_manager.FontProperties(size=size).get_size_in_points()
        beside = points / 72 * (_LEGEND["handlelength"] + _LEGEND["handletextpad"] + 1.2)
        shown = [plain(name) for name in entries]
        names, ncols = in_columns(figure, shown, wide - 0.1, size, beside, _MOST_COLUMNS)
        legend = figure.legend(
            list(entries.values()), names, loc="outside lower center", ncols=ncols, **_LEGEND
        )
        tall += legend.get_window_extent().height / figure.dpi + 0.05
    if heading and page().paper is None:
        size = matplotlib.rcParams["figure.titlesize"]
        text = wrapped(figure, heading, wide - 0.15, size)
        title = figure.suptitle(text, parse_math=False)
        tall += title.get_window_extent().height / figure.dpi + 0.05
    figure.set_figheight(tall)
    grid = figure.axes[0].get_gridspec()
    fit(figure, *((1, 1) if grid is None else (grid.ncols, grid.nrows)))


def save(figure: Any, heading: str, prefix: Path, dpi: int = _DPI) -> list[Path]:
    """Write a figure in the formats of its page, and close it."""
    paths = [prefix.with_name(f"{prefix.name}.{form}") for form in page().formats]
    title = " ".join(heading.split())
    about = {
        ".png": {"Title": title},
        ".svg": {"Date": None, "Title": title},
        ".pdf": {"CreationDate": None, "Title": title},
    }
    try:
        prefix.parent.mkdir(parents=True, exist_ok=True)
        for path in paths:
            figure.savefig(path, dpi=dpi, metadata=about[path.suffix])
    except OSError as error:
        raise UserError(f"cannot write {paths[0]}: {error.strerror or error}") from error
    except RuntimeError as error:
        if "latex" not in str(error).lower():
            raise
        first = str(error).strip().splitlines()[0]
        raise UserError(f"the style asks for LaTeX (text.usetex), which failed: {first}") from error
    finally:
        matplotlib_pyplot().close(figure)
    return paths


def size_note(paths: Sequence[Path], on: Page) -> str | None:
    """What there is to say of the size of a figure for a paper: that it is taller than a page.

    Args:
        paths: of one figure, a PNG among them.
    """
    from PIL import Image

    if on.paper is None:
        return None
    drawn = next(path for path in paths if path.suffix == ".png")
    with Image.open(drawn) as image:
        tall = image.height / image.info["dpi"][1]
    if tall <= TALLEST:
        return None
    wider = ", or draw it for two columns (--paper double)" if on.paper == "single" else ""
    return (
        f"{drawn.with_suffix('')} is {tall:.1f} inches tall, and a page has room for about "
        f"{TALLEST:.0f}: name fewer datasets or methods{wider}"
    )


def handle(style: Mapping[str, Any], dashes: str = "-", fill: str = "full") -> Any:
    """A legend entry of a line, a marker, or both."""
    matplotlib_pyplot()
    from matplotlib.lines import Line2D

    look: dict[str, Any] = {"linestyle": dashes, "fillstyle": fill} | dict(style)
    return Line2D([], [], **look)


def patch(colour: str, **more: Any) -> Any:
    """A legend entry of a surface."""
    matplotlib_pyplot()
    from matplotlib.patches import Patch

    return Patch(facecolor=colour, **more)


def aside(axis: Any, points: float, places: Sequence[tuple[float, float]]) -> Any:
    """The transform of data that is drawn so many points beside its place, to the right: what would
    lie on top of each other stands side by side, and ticks stay true.

    Args:
        places: (x, y) that the panel has to hold, since matplotlib leaves shifted data out of the
            limits of its axes.
    """
    from matplotlib.transforms import ScaledTranslation

    axis.update_datalim(places)
    axis.autoscale_view()
    shift = ScaledTranslation(points / 72, 0, axis.get_figure().dpi_scale_trans)
    return axis.transData + shift


def asides(count: int, room: float = 12.0, step: float = 3.0) -> list[float]:
    """Points by which so many series stand beside their place, within `room` points."""
    each = min(step, room / max(count - 1, 1))
    return [each * (number - (count - 1) / 2) for number in range(count)]
