"""What a reader would complain of in a figure, found through matplotlib's renderer."""

from __future__ import annotations

import itertools
from typing import Any

from promptbench.figures.fitting import shown_labels

_SLACK = 0.75  # pixels; boxes are rounded


def problems(figure: Any, least: float = 7.95) -> list[str]:
    """Texts that overlap or leave the figure, letters that are too small, legends on data."""
    from matplotlib.legend import Legend
    from matplotlib.text import Text

    figure.draw_without_rendering()
    texts = [(name, text, text.get_window_extent()) for name, text in _texts(figure, Text)]
    found = []
    page = figure.bbox
    for name, text, box in texts:
        if not (
            box.x0 >= page.x0 - _SLACK
            and box.x1 <= page.x1 + _SLACK
            and box.y0 >= page.y0 - _SLACK
            and box.y1 <= page.y1 + _SLACK
        ):
            found.append(f"{name} leaves the figure: {_said(text)}")
        if text.get_size() < least:
            found.append(f"{name} of {text.get_size()} points: {_said(text)}")
    for (one, text, a), (other, second, b) in itertools.combinations(texts, 2):
        if _touch(a, b):
            found.append(f"{one} {_said(text)} on {other} {_said(second)}")
    for axis in figure.axes:
        if axis.get_visible() and axis.axison:
            found += _out_of_sight(axis)
    for legend in figure.findobj(Legend):
        box = legend.get_window_extent()
        if box.x0 < page.x0 - 1 or box.x1 > page.x1 + 1 or box.y0 < page.y0 - 1:
            found.append("a legend leaves the figure")
        for axis in figure.axes:
            if axis.get_visible() and _touch(box, axis.get_window_extent()):
                found.append(f"a legend lies on the panel {axis.get_title()!r}")
    for axis in figure.axes:
        if axis.get_visible() and min(axis.bbox.width, axis.bbox.height) < 0.35 * figure.dpi:
            inches = axis.bbox.width / figure.dpi, axis.bbox.height / figure.dpi
            colourbar = axis.get_label() == "<colorbar>"
            if not colourbar and (not axis.images or min(inches) < 0.1):
                found.append(f"a panel of {inches[0]:.2f} x {inches[1]:.2f} inches")
    return found


def _out_of_sight(axis: Any) -> list[str]:
    """Markers that do not lie in their panel; a point at an edge may stand half outside."""
    import numpy as np

    box, found = axis.bbox.padded(2), []
    for line in axis.lines:
        if line.get_marker() in ("", " ", "None", None) or not len(line.get_xdata()):
            continue
        places = line.get_transform().transform(line.get_xydata())
        places = places[np.isfinite(places).all(axis=1)]
        inside = [box.contains(x, y) for x, y in places]
        if not all(inside):
            found.append(f"{inside.count(False)} points outside the panel {axis.get_title()!r}")
    return found


def _texts(figure: Any, kind: type) -> list[tuple[str, Any]]:
    """Every text that is drawn, with what it is."""
    found = [("title", each) for each in [figure._suptitle] if each is not None]
    for legend in figure.legends:
        found += [("legend", text) for text in legend.get_texts()]
    for axis in figure.axes:
        if not axis.get_visible():
            continue
        found += [("text", text) for text in axis.texts]
        found.append(("heading", axis.title))
        if axis.axison:
            found += [("label", axis.xaxis.label), ("label", axis.yaxis.label)]
            for each in (axis.xaxis, axis.yaxis):
                found += [("tick", text) for text in shown_labels(each)]
        assert axis.get_legend() is None, "legends stand below all panels"
    return [(name, t) for name, t in found if t.get_visible() and t.get_text().strip()]


def _touch(a: Any, b: Any) -> bool:
    return bool(
        a.x0 + _SLACK < b.x1 - _SLACK
        and b.x0 + _SLACK < a.x1 - _SLACK
        and a.y0 + _SLACK < b.y1 - _SLACK
        and b.y0 + _SLACK < a.y1 - _SLACK
    )


def _said(text: Any) -> str:
    return repr(text.get_text()[:40])
