"""Tables of predictions as promptbench writes them, read as bytes: all numbers of a column at once.

It takes a quarter of the time of reading text field by field, which is most of what it takes to
compute a record again. What is written otherwise, or is not such a table, is not read here:
`predictions.decoded` reads it as CSV, and says what is wrong with it.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

_COMMA, _LINE, _POINT, _ZERO = b",\n.0"
_MOST_DIGITS = 9  # of a whole number, and of a number before its point: all are exact in float64
_Places = NDArray[np.intp]
_Bytes = NDArray[np.uint8]
Columns = dict[str, NDArray[Any]]


def read(
    data: bytes, names: Sequence[str], digits: Mapping[str, int], gaps: str, most: int
) -> tuple[list[str], Columns] | None:
    """The keys and the columns of a table in the form in which it is written, each (rows,).

    Args:
        data: the table, unpacked.
        names: its columns; the first are the keys.
        digits: how many digits columns have after the point (float64); others hold whole numbers
            (int64).
        gaps: a column whose fields may be empty, which are NaN then.
        most: rows.

    Returns:
        None where anything is written otherwise, a key is quoted or no text, or a number is a
        longer one.
    """
    head = ",".join(names).encode() + b"\n"
    if not (data.startswith(head) and data.endswith(b"\n")) or b'"' in data or b"\r" in data:
        return None
    body = np.frombuffer(data, np.uint8)[len(head) :]
    ends = _ends(body, len(names), data.count(b"\n") - 1)
    if ends is None or len(ends) > most:
        return None
    starts = np.concatenate(([0], ends.ravel()[:-1] + 1)).reshape(ends.shape)
    columns: Columns = {}
    for place, name in enumerate(names[1:], 1):
        found = _numbers(body, starts[:, place], ends[:, place], digits.get(name), name == gaps)
        if found is None:
            return None
        columns[name] = found
    keys = _keys(data[len(head) :], starts[:, 0], ends[:, 0])
    return None if keys is None else (keys, columns)


def _ends(body: _Bytes, count: int, lines: int) -> _Places | None:
    """Where fields end, (lines, count); None where a line has another number of them."""
    if lines < 1 or int(np.count_nonzero(body == _COMMA)) != lines * (count - 1):
        return None
    breaks = np.flatnonzero((body == _COMMA) | (body == _LINE))
    ends = breaks.reshape(lines, count)
    return ends if (body[ends[:, -1]] == _LINE).all() else None


def _keys(body: bytes, starts: _Places, ends: _Places) -> list[str] | None:
    """The keys; None if one is longer than CSV allows, or is not UTF-8."""
    if int((ends - starts).max()) > csv.field_size_limit():
        return None
    places = zip(starts.tolist(), ends.tolist(), strict=True)
    if body.isascii():
        text = body.decode("ascii")
        return [text[start:end] for start, end in places]
    try:
        return [body[start:end].decode() for start, end in places]
    except UnicodeDecodeError:
        return None


def _numbers(
    body: _Bytes, starts: _Places, ends: _Places, digits: int | None, gaps: bool
) -> NDArray[Any] | None:
    """A column of numbers; None where one is not in its form."""
    if digits is None:
        return _whole(body, starts, ends)
    there = ends > starts
    if not gaps and not there.all():
        return None
    first, last = (starts[there], ends[there]) if gaps else (starts, ends)
    points = last - digits - 1
    whole = _whole(body, first, points)
    if whole is None or (body[points] != _POINT).any():
        return None
    if ((body[first] == _ZERO) & (points - first > 1)).any():
        return None
    rest = _whole(body, points + 1, last)
    if rest is None:
        return None
    # Exact over exact, so that it is rounded once, as `float` rounds text.
    values: NDArray[np.float64] = (whole * 10**digits + rest) / 10.0**digits
    if not gaps:
        return values
    found = np.full(len(ends), np.nan)
    found[there] = values
    return found


def _whole(body: _Bytes, starts: _Places, ends: _Places) -> NDArray[np.int64] | None:
    """Whole numbers of one to nine digits; None where there is another."""
    widths = ends - starts
    found = np.zeros(len(ends), dtype=np.int64)
    if not len(ends):
        return found
    least, most = int(widths.min()), int(widths.max())
    if least < 1 or most > _MOST_DIGITS:
        return None
    for place in range(most):  # from the last digit on
        digit = body[ends - 1 - place] - np.uint8(_ZERO)  # what is not a digit becomes 10 or more
        if place >= least:
            digit[widths <= place] = 0
        if (digit > 9).any():
            return None
        found += digit.astype(np.int64) * 10**place
    return found
