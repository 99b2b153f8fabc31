"""How the rows of tables look in figures: the colour and marker of their method; several rows of
one method by their lines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from promptbench.core.registry import METHODS
from promptbench.core.registry.registry import BUILT_IN
from promptbench.figures.looks import Look, looks
from promptbench.figures.style import colour

_LINES = ("-", "--", "-.", (0, (1, 1)), (0, (4, 1, 1, 1, 1, 1)))
_FILLS = ("full", "none", "left", "bottom", "top")


def looks_of(methods: Iterable[str]) -> dict[str, Look]:
    """The looks of methods, the same in every figure: the installed ones come first, those of
    others after the built-in ones, then whatever else is drawn."""
    installed = METHODS.names()
    built_in = [name for name in installed if METHODS.provider(name) == BUILT_IN]
    others = [name for name in installed if name not in built_in]
    return looks([*built_in, *others, *sorted(set(methods))])


def styles_of(methods: Sequence[str]) -> list[dict[str, Any]]:
    """The style of each row by its method; a further row of a method has other lines, and markers
    that are not filled."""
    own, seen = looks_of(methods), Counter[str]()
    found = []
    for method in methods:
        number = seen[method]
        seen[method] += 1
        found.append(
            {
                "color": colour(own[method]),
                "marker": own[method].marker,
                "linestyle": _LINES[number % len(_LINES)],
                "fillstyle": _FILLS[number % len(_FILLS)],
            }
        )
    return found
