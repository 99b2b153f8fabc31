"""Settings that depend on the number of shots: tables from shots to values."""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar, Union

T = TypeVar("T")
# A value, or a table {shots: value}, of which a method is given the entry for its shots.
ByShots = Union[T, dict[int, T]]  # noqa: UP007  # of any T, for annotations


def entry_for(table: Mapping[int, T], shots: int) -> T:
    """The entry of the largest number not above `shots`, else that of the smallest."""
    return table[max((number for number in table if number <= shots), default=min(table))]


def settled(
    values: Mapping[str, Any], annotations: Mapping[str, Any], shots: int
) -> dict[str, Any]:
    """Parameters with the entries for `shots` in the place of tables, where `ByShots` allows them;
    an empty table stays, as what is wrong with it."""
    return {
        name: entry_for(value, shots)
        if value and isinstance(value, dict) and _is_by_shots(annotations.get(name))
        else value
        for name, value in values.items()
    }


def _is_by_shots(annotation: Any) -> bool:
    if typing.get_origin(annotation) not in (Union, types.UnionType):
        return False
    parts = typing.get_args(annotation)
    tables = [part for part in parts if typing.get_origin(part) is dict]
    return len(tables) == 1 < len(parts) and typing.get_args(tables[0])[0] is int
