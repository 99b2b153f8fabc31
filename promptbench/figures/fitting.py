"""Letters that do not overlap: text is broken to the room that it has, ticks are turned or thinned,
and panels grow that are too low for what stands beside them.

Everything is measured with matplotlib's own renderer, on a figure that has been laid out.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

_PAD = 1.5  # pixels at the least between two labels of ticks
_EDGE = 3  # pixels by which a text may move while a figure is laid out again
_ROUNDS = 12  # until nothing changes any more
_UPRIGHT = 1.2  # inches of a turned name
_LEAST_HEIGHT = 0.8  # inches of a panel
_LONGEST_WORD = 2.5  # inches, for which a panel is made high enough


def fit(figure: Any, across: int, down: int) -> None:
    """Lay a figure out and fix what overlaps: headings and labels of axes wider than their panel
    are broken into lines; names that touch are turned below a panel, and make it higher beside it;
    of numbers that touch some are left out; panels that are too low make the figure higher.

    Args:
        across, down: how many panels stand side by side, and one below the other.
    """
    for _ in range(_ROUNDS):
        figure.draw_without_rendering()
        axes = [axis for axis in figure.axes if axis.get_visible()]
        lacking = max((_lacking(axis) for axis in axes), default=0.0)
        if lacking > 0.01:
            figure.set_figheight(figure.get_figheight() + lacking * down)
            continue
        room = figure.bbox.width / across
        changed = [_fitted(axis, room) for axis in axes]
        if not any(changed):
            break


def wrapped(figure: Any, text: str, inches: float, size: Any, most: int = 0) -> str:
    """Text broken into lines that are as wide as `inches` at most.

    Args:
        size: in points, or a word of matplotlib's.
        most: lines at the most, after which … stands; 0: as many as it takes.
    """
    lines: list[str] = []
    for line in text.split("\n"):
        wide = width_of(figure, line, size)
        letters = max(6, int(len(line) * inches / wide * 0.97)) if wide > inches else len(line)
        while True:
            broken = textwrap.wrap(line, letters, break_on_hyphens=True) or [""]
            widest = max(width_of(figure, each, size) for each in broken)
            if widest <= inches or letters <= 6:
                break
            letters -= 1
        lines += broken
    if most and len(lines) > most:
        lines = [*lines[: most - 1], lines[most - 1][:-1].rstrip() + "…"]
    return "\n".join(lines)


def width_of(figure: Any, text: str, size: Any) -> float:
    """The width in inches of a line of text."""
    from matplotlib.font_manager import FontProperties

    font = FontProperties(size=size)
    renderer = figure.canvas.get_renderer()
    return float(renderer.get_text_width_height_descent(text, font, False)[0] / figure.dpi)


def shortened(figure: Any, text: str, inches: float, size: Any) -> str:
    """A line of text with its end left out, if it is longer than so many inches."""
    if width_of(figure, text, size) <= inches:
        return text
    while text and width_of(figure, text + "…", size) > inches:
        text = text[:-1].rstrip()
    return text + "…"


def in_columns(
    figure: Any, names: Sequence[str], inches: float, size: Any, handle: float, most: int
) -> tuple[list[str], int]:
    """The names of a legend, broken into lines where they have to be, and in how many columns they
    take the least height; of equals the fewest.

    Args:
        inches: of the whole legend.
        handle: the inches that an entry takes beside its text.
        most: columns at the most.
    """
    found: tuple[int, list[str], int] | None = None
    for columns in range(1, min(most, len(names)) + 1):
        room = inches / columns - handle
        words = (word for name in names for word in name.split())
        if columns > 1 and any(width_of(figure, word, size) > room for word in words):
            break
        broken = [wrapped(figure, name, room, size) for name in names]
        each = -(-len(names) // columns)
        lines = [name.count("\n") + 1 for name in broken]
        height = max(sum(lines[k : k + each]) for k in range(0, len(lines), each))
        if found is None or height < found[0]:
            found = height, broken, columns
    assert found is not None, "a legend has entries"
    return found[1], found[2]


def overlapping(labels: Sequence[Any]) -> bool:
    """Whether two labels of ticks that follow each other touch."""
    boxes = [label.get_window_extent() for label in labels]
    return any(
        a.x0 < b.x1 + _PAD and b.x0 < a.x1 + _PAD and a.y0 < b.y1 and b.y0 < a.y1
        for a, b in pairwise(boxes)
    )


def shown_labels(axis: Any) -> list[Any]:
    """The labels of an axis (x or y) that are drawn, in their order along it."""
    low, high = sorted(axis.get_view_interval())
    slack = 1e-6 * (high - low)
    ticks = [
        tick
        for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks())
        if low - slack <= tick.get_loc() <= high + slack and tick.label1.get_visible()
    ]
    ticks.sort(key=lambda tick: float(tick.get_loc()))
    return [tick.label1 for tick in ticks if tick.label1.get_text().strip()]


def _fitted(axes: Any, room: float) -> bool:
    """Whether something has been changed, so that the figure is to be laid out again."""
    if not axes.axison:
        return _broken(axes.title, room)
    room = max(room, axes.bbox.width)  # a bar of colours belongs to several panels
    changed = [_broken(axes.title, room), _broken(axes.xaxis.label, room)]
    changed.append(_broken(axes.yaxis.label, axes.bbox.height + 0.1 * axes.figure.dpi, tall=True))
    below = shown_labels(axes.xaxis)
    if overlapping(below):
        if _bears_names(axes.xaxis) and not below[0].get_rotation():
            _turn(axes.xaxis, below)
        else:
            _thin(axes.xaxis, below, 0)
        changed.append(True)
    beside = shown_labels(axes.yaxis)
    if overlapping(beside) and not _bears_names(axes.yaxis):
        _thin(axes.yaxis, beside, 1)
        changed.append(True)
    return any(changed)


def _lacking(axes: Any) -> float:
    """Inches by which a panel is too low for its curves, for the names beside it, or for a word of
    its label."""
    if not axes.axison or axes.get_label() == "<colorbar>":
        return 0.0
    figure, dpi, label = axes.figure, axes.figure.dpi, axes.yaxis.label
    words = (width_of(figure, word, label.get_size()) for word in label.get_text().split())
    need = max(_LEAST_HEIGHT, min(max(words, default=0.0), _LONGEST_WORD))
    labels = shown_labels(axes.yaxis)
    if len(labels) > 1 and _bears_names(axes.yaxis):
        boxes = [label.get_window_extent() for label in labels]
        middles = [(box.y0 + box.y1) / 2 for box in boxes]
        nearest = min(abs(a - b) for a, b in pairwise(middles))
        highest = max(box.height for box in boxes) + _PAD
        need = max(need, axes.bbox.height / dpi * highest / max(nearest, 1.0))
    return max(0.0, float(need - axes.bbox.height / dpi))


def _bears_names(axis: Any) -> bool:
    """Whether each place of an axis was given its label: none of them says what its neighbours do,
    as numbers along a scale would."""
    from matplotlib.ticker import FixedLocator

    return isinstance(axis.get_major_locator(), FixedLocator) or not all(
        _is_number(label.get_text()) for label in shown_labels(axis)
    )


def _broken(text: Any, room: float, tall: bool = False) -> bool:
    """Break a text that is longer than so many pixels, or leaves the figure."""
    words = text.get_text()
    figure = text.get_figure()
    box = text.get_window_extent()
    if not tall:  # what stands in the middle of a panel at the edge has less room than that
        middle = (box.x0 + box.x1) / 2
        room = min(room, 2 * min(middle - figure.bbox.x0, figure.bbox.x1 - middle))
    else:
        middle = (box.y0 + box.y1) / 2
        room = min(room, 2 * min(middle - figure.bbox.y0, figure.bbox.y1 - middle))
    room -= _EDGE
    if not words or (box.height if tall else box.width) <= room:
        return False
    again = wrapped(figure, words.replace("\n", " "), room / figure.dpi, text.get_size())
    if again == words:
        return False
    text.set_text(again)
    return True


def _thin(axis: Any, labels: Sequence[Any], along: int) -> None:
    """Keep every second label of an axis."""
    names = [label.get_text() for label in labels]
    places = [float(label.get_position()[along]) for label in labels]
    axis.set_ticks(places[::2], names[::2])
    axis.set_ticks([], minor=True)


def _turn(axis: Any, labels: Sequence[Any]) -> None:
    """Turn names upright, shortened to the room of a short sentence, and give them that room."""
    figure = axis.get_figure()
    places = [float(label.get_position()[0]) for label in labels]
    size = labels[0].get_size()
    texts = [label.get_text().replace("-\n", "").replace("\n", " ") for label in labels]
    names = [shortened(figure, text, _UPRIGHT, size) for text in texts]
    axis.set_ticks(places, names, rotation=90)
    longest = max(width_of(figure, name, size) for name in names)
    grid = axis.axes.get_gridspec()
    down = grid.nrows if grid is not None else 1
    axis.axes.tick_params(axis="x", rotation=90)
    figure.set_figheight(figure.get_figheight() + max(0.0, longest - 0.15) / down)


def _is_number(text: str) -> bool:
    parse: Callable[[str], float] = float
    try:
        parse(text.replace(",", "").replace("\u2212", "-").rstrip("kMG").strip(" %"))
    except ValueError:
        return False
    return True
