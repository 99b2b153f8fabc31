"""Figures of reports, of little and of much, in the column of a paper: nothing overlaps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from promptbench.figures import sheet
from promptbench.figures.style import WIDTHS, Page
from tests.figures.gallery import Draw, kinds
from tests.figures.layout import problems

matplotlib = pytest.importorskip("matplotlib")


# The narrowest page is the hardest. Heat maps of much and figures of analyses are left out.
OF_REPORTS = ("shots-one", "shots-crowd", "costs", "sweep", "maps-one", "sensitivity", "ranks")
OF_ERRORS = ("confusions", "classes", "pictures")
FOUND = {name: draw for name, draw in kinds().items() if name.startswith(OF_REPORTS + OF_ERRORS)}


SHORT = ("shots-crowd", "costs", "ranks", "confusions")  # the others take a minute and more
CASES = [
    pytest.param(*each, id=each[0], marks=[] if each[0].startswith(SHORT) else [pytest.mark.long])
    for each in FOUND.items()
]


@pytest.mark.parametrize("paper", ["single"])
@pytest.mark.parametrize(("name", "draw"), CASES)
def test_nothing_overlaps_or_leaves_the_figure(
    name: str, draw: Draw, paper: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[str] = []

    def looked_at(figure: Any, heading: str, prefix: Path, *_: Any) -> list[Path]:
        found.extend(problems(figure))
        matplotlib.pyplot.close(figure)
        if paper is not None:
            assert figure.get_figwidth() == WIDTHS[paper] and figure._suptitle is None
        return []

    monkeypatch.setattr(sheet, "save", looked_at)
    draw(tmp_path / name, Page(paper))
    assert not found, "\n".join(found[:12])
