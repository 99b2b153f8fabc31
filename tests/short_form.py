"""Cases that `make test` leaves to `make long`: it keeps some of each kind."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest


def first(count: int, cases: Sequence[Any]) -> list[Any]:
    """Mark all cases but the first ones as long; one of several values is a tuple."""
    return [_case(case, is_short=place < count) for place, case in enumerate(cases)]


def every(nth: int, rows: Sequence[Any], columns: Sequence[Any]) -> list[Any]:
    """Pairs of which each row, and each column, has one of `nth` in the short form."""
    return [
        _case((row, column), is_short=(i + j) % nth == 0)
        for i, row in enumerate(rows)
        for j, column in enumerate(columns)
    ]


def first_of_each(cases: Sequence[tuple[Any, ...]]) -> list[Any]:
    """Mark all cases as long but the first of those that begin with the same value."""
    begin = [case[0] for case in cases]
    return [_case(case, is_short=begin.index(case[0]) == i) for i, case in enumerate(cases)]


def _case(case: Any, is_short: bool) -> Any:
    values = case if isinstance(case, tuple) else (case,)
    return pytest.param(*values, marks=[] if is_short else [pytest.mark.long])
