"""Tables of predictions as promptbench writes them, read as bytes: all numbers of a table at once.

It takes a tenth of the time of reading text field by field, which is most of what it takes to
compute a record again. What is written otherwise, or is not such a table, is not read here:
`predictions.decoded` reads it as CSV, and says what is wrong with it.

A number is read as a word, the eight bytes that end with it, of which the first counts least. Its
digits are put together in pairs, these in fours, and these in one number, of all words at once.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

_COMMA, _LINE, _POINT, _ZERO = b",\n.0"
_WORD = 8  # bytes, of the longest number
_Places = NDArray[np.intp]
_Flags = NDArray[np.bool_]
_Words = NDArray[np.uint64]
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
        None where anything is written otherwise, a key is quoted or no text, or a number is longer
        than eight bytes.
    """
    found = _fields(data, names, most)
    if found is None:
        return None
    starts, ends = found
    keys = _keys(data, starts[:, 0], ends[:, 0])
    numbers = _columns(data, starts[:, 1:], ends[:, 1:], names[1:], digits, gaps)
    return None if keys is None or numbers is None else (keys, numbers)


def columns(
    data: bytes,
    names: Sequence[str],
    digits: Mapping[str, int],
    gaps: str,
    most: int,
    wanted: Sequence[str],
) -> Columns | None:
    """Those columns of numbers of a table that are `wanted`, as `read`: neither the keys nor the
    other columns are looked at, but for where they end."""
    found = _fields(data, names, most)
    if found is None:
        return None
    starts, ends = found
    places = [names.index(name) for name in wanted]
    return _columns(data, starts[:, places], ends[:, places], wanted, digits, gaps)


def _fields(data: bytes, names: Sequence[str], most: int) -> tuple[_Places, _Places] | None:
    """Where fields start and end, (lines, columns) each; None where it is not such a table."""
    head = ",".join(names).encode() + b"\n"
    if not (data.startswith(head) and data.endswith(b"\n")) or b'"' in data or b"\r" in data:
        return None
    ends = _ends(data, len(head), len(names), data.count(b"\n") - 1)
    if ends is None or len(ends) > most:
        return None
    starts = np.concatenate(([len(head)], ends.ravel()[:-1] + 1)).reshape(ends.shape)
    return starts, ends


def _ends(data: bytes, start: int, count: int, lines: int) -> _Places | None:
    """Where fields end, (lines, count); None where a line has another number of them."""
    whole = np.frombuffer(data, np.uint8)
    body = whole[start:]
    breaks = np.flatnonzero((body == _COMMA) | (body == _LINE)) + start
    if lines < 1 or len(breaks) != lines * count:
        return None
    ends = breaks.reshape(lines, count)
    return ends if (whole[ends[:, -1]] == _LINE).all() else None


def _keys(data: bytes, starts: _Places, ends: _Places) -> list[str] | None:
    """The keys; None if one is longer than CSV allows, or is not UTF-8."""
    if int((ends - starts).max()) > csv.field_size_limit():
        return None
    places = zip(starts.tolist(), ends.tolist(), strict=True)
    if data.isascii():
        text = data.decode("ascii")
        return [text[start:end] for start, end in places]
    try:
        return [data[start:end].decode() for start, end in places]
    except UnicodeDecodeError:
        return None


def _columns(
    data: bytes,
    starts: _Places,
    ends: _Places,
    names: Sequence[str],
    digits: Mapping[str, int],
    gaps: str,
) -> Columns | None:
    """The columns of numbers; None where one is not in its form."""
    after = [digits.get(name, 0) for name in names]
    ends = np.ascontiguousarray(ends.T)  # (columns, lines), as all that follows
    widths = ends - starts.T
    least = np.array([[count + 2 if count else 1] for count in after])
    empty = (widths == 0) & np.array([[name == gaps] for name in names])
    if (widths > _WORD).any() or ((widths < least) & ~empty).any():
        return None
    long = (widths > least) & (least > 1)
    if (np.frombuffer(data, np.uint8)[(ends - widths)[long]] == _ZERO).any():
        return None
    # The head of a table is longer than a word, so that one ends with the first number.
    words = np.ndarray(len(data) - _WORD + 1, "<u8", data, strides=(1,))[ends - _WORD]
    values, right = _values(words, widths, after)
    if not (right | empty).all():
        return None
    found: Columns = {}
    for name, count, own, gap in zip(names, after, values, empty, strict=True):
        # Exact over exact, so that it is rounded once, as `float` rounds text.
        found[name] = own / 10.0**count if name in digits else own.astype(np.int64)
        if name == gaps:
            found[name][gap] = np.nan
    return found


def _values(words: _Words, widths: _Places, after: Sequence[int]) -> tuple[_Words, _Flags]:
    """The whole numbers that words hold if points are left out, and whether each holds one.

    Args:
        words: (columns, lines).
        widths: (columns, lines) how many of their last bytes belong to the number.
        after: how many digits follow the point, in each column; 0: numbers without a point.
    """
    words = words & _OWN[widths] | _ZEROS[widths]
    point, before, behind, first = _AROUND[after].T[..., None]
    right = (words & point) == (point & _POINTS)
    words = (words & before) << _BYTE | words & behind | first
    above_nine = (words + _SIXES & _HIGH) >> _HALF_A_BYTE  # a half that is not 3 any more
    right &= (words & _HIGH | above_nine) == _THREES
    words &= _LOW
    for bits, times, kept in _TOGETHER:
        words = words * times + (words >> bits) & kept
    return words, right


def _word(first: int, byte: int = 0xFF, end: int = _WORD) -> int:
    """A word with the same byte from the `first` to before the `end`, and 0 elsewhere."""
    return int.from_bytes(bytes(byte if first <= n < end else 0 for n in range(_WORD)), "little")


def _words(values: Sequence[int] | Sequence[Sequence[int]]) -> _Words:
    return np.array(values, np.uint64)


def _around(after: int) -> list[int]:
    """The bytes of the point, those before and behind it, and what comes first without it."""
    place = _WORD - 1 - after
    if not after:
        return [0, 0, _word(0), 0]
    point, before = _word(place, end=place + 1), _word(0, end=place)
    return [point, before, _word(place + 1), _word(0, _ZERO, 1)]


_OWN = _words([_word(_WORD - width) for width in range(_WORD + 1)])
_ZEROS = _words([_word(0, _ZERO, _WORD - width) for width in range(_WORD + 1)])
_AROUND = _words([_around(after) for after in range(_WORD - 1)])
_POINTS, _SIXES, _THREES, _HIGH, _LOW = _words([_word(0, b) for b in (_POINT, 6, 0x33, 0xF0, 0x0F)])
_BYTE, _HALF_A_BYTE = _words([8, 4])
_TOGETHER = _words(
    [
        [8, 10, 0x00FF00FF00FF00FF],
        [16, 100, 0x0000FFFF0000FFFF],
        [32, 10_000, 0x00000000FFFFFFFF],
    ]
)
