"""Rows under names of their own: what a grid calls the variants of a method."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from promptbench.planning.request import BASELINE

if TYPE_CHECKING:
    from promptbench.planning.plan import Plan

RowKey = tuple[str, tuple[str, ...]]  # a method, its changed settings as records hold them
Titles = Mapping[RowKey, str]  # in the order in which the rows are to stand


def titles_of(plans: Sequence[Plan]) -> dict[RowKey, str]:
    """The titles that plans give to rows.

    They belong to the methods that differ between the plans; where nothing does, to all but the
    baseline. Where there are several, each keeps its method's name before the title.
    """
    titles: dict[str, dict[RowKey, str]] = defaultdict(dict)
    names = {}
    for made in plans:
        for cell in made.cells if made.title else ():
            key = (cell.method.name, tuple(cell.overrides))
            titles[cell.method.name].setdefault(key, made.title)
            names[cell.method.name] = cell.method.cls.title
    concerned = [method for method, own in titles.items() if len(set(own.values())) > 1]
    concerned = concerned or [method for method in titles if method != BASELINE]
    several = len(concerned) > 1
    return {
        key: f"{names[method]}: {title}" if several else title
        for method in concerned
        for key, title in titles[method].items()
    }
