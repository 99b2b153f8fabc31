"""What distinguishes the variants of methods: the settings in which they differ, each with its
value, and those that all have in common, once.

A setting is called as in `--set`: `Recipe.lr`, or `CoOp.n_ctx`.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Setup:
    """A method's settings: those that the user changed, as bindings, and all that are in force.

    `recipe` is empty where nothing is trained by steps.
    """

    method: str
    changed: tuple[str, ...]
    parameters: Mapping[str, Any]
    recipe: Mapping[str, Any]

    @property
    def names(self) -> list[str]:
        """The settings that the user changed."""
        return [binding.partition("=")[0].strip() for binding in self.changed]

    def value(self, name: str) -> str | None:
        """The value in force as it is written; None if the method does not have the setting."""
        for binding in self.changed:
            changed, _, value = binding.partition("=")
            if changed.strip() == name:
                return spelled(value)
        owner, _, own = name.rpartition(".")
        known = self.recipe if owner == "Recipe" else self.parameters
        return spelled(repr(known[own])) if own in known else None


Row = Sequence[Setup]  # what stands under one name; its settings may differ by dataset


def varying(rows: Sequence[Row]) -> dict[str, list[str]]:
    """The settings that differ between the rows of each method, of those that a row changes."""
    found: dict[str, list[str]] = {}
    for method, own in _by_method(rows).items():
        names = dict.fromkeys(name for row in own for setup in row for name in setup.names)
        found[method] = [n for n in sorted(names) if len({_values(row, n) for row in own}) > 1]
    return found


def common(rows: Sequence[Row]) -> list[str]:
    """The changed settings, as bindings, that have one value in all rows which have them, of at
    least two rows."""
    found = []
    for name in sorted(_changed(rows)):
        own = _concerned(rows, name)
        values = {_values(row, name) for row in own}
        if len(own) > 1 and len(values) == 1 and len(only := values.pop()) == 1:
            found.append(f"{name} = {min(only)}")
    return found


def marks(rows: Sequence[Row], without: Collection[str] = ()) -> list[list[str]]:
    """For each row, what it changes and its own value of what others change, but nothing that is
    among the bindings `without` (such as `common`)."""
    vary, changed = varying(rows), _changed(rows)
    left_out = {binding.partition(" = ")[0] for binding in without}
    found = []
    for row in rows:
        names = sorted((_changed([row]) | set(vary[row[0].method])) - left_out)
        found.append([text for name in names if (text := mark(row, name, changed))])
    return found


def mark(row: Row, name: str, among: Collection[str]) -> str:
    """A setting with its value in a row; the setting's class is left out where `among` has no other
    setting of this name."""
    values = _values(row, name)
    if not values:
        return ""
    own = name.rpartition(".")[2]
    same = [other for other in among if other.rpartition(".")[2] == own]
    shown = min(values) if len(values) == 1 else "by dataset"
    return f"{own if len(same) < 2 else name} = {shown}"


def in_order(row: Row, names: Iterable[str]) -> tuple[tuple[float, str], ...]:
    """A key that sorts rows by their values of settings: unknown ones, numbers by size, text."""
    return tuple(_order(min(_values(row, name), default="")) for name in names)


def _changed(rows: Sequence[Row]) -> set[str]:
    return {name for row in rows for setup in row for name in setup.names}


def _by_method(rows: Sequence[Row]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        found[row[0].method].append(row)
    return found


def _concerned(rows: Sequence[Row], name: str) -> list[Row]:
    """The rows that have a setting: one of a class belongs to the methods that change it."""
    if name.startswith("Recipe."):
        return [row for row in rows if _values(row, name)]
    methods = {setup.method for row in rows for setup in row if name in setup.names}
    return [row for row in rows if row[0].method in methods]


def _values(row: Row, name: str) -> frozenset[str]:
    return frozenset(value for setup in row if (value := setup.value(name)) is not None)


def _order(value: str) -> tuple[float, str]:
    try:
        return float(value), ""
    except ValueError:
        return float("inf" if value else "-inf"), value


def spelled(value: str) -> str:
    """A literal in its usual spelling, lists as tuples since JSON has none; others as they are."""
    try:
        return repr(_tuples(ast.literal_eval(value.strip())))
    except (ValueError, SyntaxError):
        return value.strip()


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list | tuple) else value
