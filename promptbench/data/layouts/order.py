"""The order of texts that carry numbers: 2 before 10, whatever their widths and scripts.

Texts that all are numbers are ordered by value (0.0, 1.0, 10.0; -2, -1, 3); in others each run of
digits counts as a whole number (class2, class10; 2.cat, 10.dog), and the rest compares as text.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable
from decimal import Decimal

_NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d{1,4})?")
_BOOLEANS = ("true", "false")
_DIGITS = re.compile(r"(\d+)")  # of any script

Key = tuple[object, ...]


def number(text: str) -> Decimal | None:
    """The value of a text that is a number and nothing else: 7, 07, -3, 2.0, 2,5, 1e3."""
    return Decimal(text.replace(",", ".")) if _NUMBER.fullmatch(text) else None


def is_bare(text: str) -> bool:
    """Whether a text is a number or a boolean, which names nothing that an image shows."""
    return number(text) is not None or text.lower() in _BOOLEANS


def natural(texts: Iterable[str]) -> list[str]:
    """Texts in natural order; those that are the same number keep an order as text."""
    given = list(texts)
    values = {text: number(text) for text in given}
    if any(value is None for value in values.values()):
        return sorted(given, key=lambda text: (_key(text), text))
    return sorted(given, key=lambda text: (values[text], text))


def same_number(texts: Iterable[str]) -> tuple[str, str] | None:
    """The first two texts that differ only in how they write a number: 1 and 01, a1 and a01."""
    seen: dict[object, str] = {}
    for text in natural(texts):
        value = number(text)
        other = seen.setdefault(_key(text) if value is None else value, text)
        if other != text:
            return other, text
    return None


def other_order(texts: Collection[str]) -> list[str] | None:
    """Another order than the natural one that a person may have had in mind; None if there is none.

    Numbers that lead distinct texts, or are all that differs in them, leave no doubt. Elsewhere the
    order may have been that of text, that without regard to case, or that of a running number.
    """
    wanted = natural(texts)
    if _is_enumeration(wanted):
        return None
    others = [sorted(texts), sorted(texts, key=str.lower), *_by_running_number(texts)]
    return next((order for order in others if order != wanted), None)


def _key(text: str) -> Key:
    """Text and numbers in turn; a number as its length and its digits, so that any size fits."""
    parts = _DIGITS.split(unicodedata.normalize("NFC", text))
    return tuple(_magnitude(part) if at % 2 else part for at, part in enumerate(parts))


def _magnitude(digits: str) -> tuple[int, str]:
    plain = "".join(str(unicodedata.decimal(digit)) for digit in digits).lstrip("0")
    return len(plain), plain


def _is_enumeration(texts: Collection[str]) -> bool:
    """Whether only numbers give the order: pure, before each text, or the one thing that varies."""
    if all(number(text) is not None for text in texts):
        return True
    parts = [_DIGITS.split(text) for text in texts]
    if any(len(part) < 2 for part in parts):  # one without a number
        return False
    leading = all(not part[0].strip() for part in parts)
    if leading and len({_magnitude(part[1]) for part in parts}) == len(parts):
        return True
    return all(len(part) == 3 for part in parts) and len({(p[0], p[2]) for p in parts}) == 1


def _by_running_number(texts: Collection[str]) -> list[list[str]]:
    """The order of texts that carry one number each, if those run from 0 or 1 without gaps."""
    numbered: dict[int, str] = {}
    for text in texts:
        found = _DIGITS.findall(text)
        if len(found) != 1 or len(found[0]) > len(str(len(texts))) + 4:  # zeros before it
            return []
        numbered[int(found[0])] = text
    runs = [list(range(first, first + len(texts))) for first in (0, 1)]
    order = sorted(numbered)
    return [[numbered[value] for value in order]] if order in runs else []
