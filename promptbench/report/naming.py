"""Rows under names of their own: what a grid calls the variants of a method."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from promptbench.planning.request import Request

RowKey = tuple[str, tuple[tuple[str, Any], ...]]  # a method, its changed settings
Titles = Mapping[RowKey, str]  # in the order in which the rows are to stand


def key_of(method: str, bindings: Iterable[str]) -> RowKey:
    """A method with settings, however their bindings are spaced and ordered."""
    pairs = (binding.partition("=") for binding in bindings)
    return method, tuple(sorted((name.strip(), _value(value)) for name, _, value in pairs))


def titles_of(requests: Iterable[Request]) -> dict[RowKey, str]:
    """The titles that requests give to the rows of their methods (not to the baseline's)."""
    return {
        key_of(method, request.set): request.title
        for request in requests
        if request.title
        for method in request.methods
    }


def _value(text: str) -> str:
    """A literal in its usual spelling; anything else as it is."""
    try:
        return repr(ast.literal_eval(text.strip()))
    except (ValueError, SyntaxError):  # a gin reference
        return text.strip()
