"""Options as people give them, from Python or a command line, to the types that they stand for.

A name, a number or a path where several may stand is taken as one of them; text is split at commas
where names or numbers are meant; numbers may be those of numpy. What cannot be meant is refused by
the option's name, before anything is done with it.
"""

from __future__ import annotations

import operator
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, get_args

from promptbench.errors import UserError, near_miss
from promptbench.storage.reading import LARGEST
from promptbench.support.safe_text import shortened

Reader = Callable[[str, Any], Any]  # an option's name and value -> what it means

_ONE = (str, bytes, Mapping, os.PathLike)  # not looked into, though some can be iterated over


def names(option: str, value: Any) -> list[str]:
    """Names: one, several separated by commas, or in a list."""
    wanted = "a name, or several in a list or separated by commas"
    given = [_text(option, each, value, wanted) for each in _each(value)]
    return [part.strip() for each in given for part in each.split(",") if part.strip()]


def numbers(option: str, value: Any) -> list[int]:
    """Whole numbers: one, several separated by commas, or in a list or range."""
    wanted = "a whole number, or several such as [1, 2, 3] or 1,2,3"
    found: list[int] = []
    for each in _each(value):
        parts = [part for part in each.split(",") if part.strip()] if _is_text(each) else [each]
        found += [_whole(option, part, value, wanted) for part in parts]
    return found


def bindings(option: str, value: Any) -> list[str]:
    """Bindings of gin: one as text, or several in a list."""
    wanted = 'a binding such as "Recipe.epochs=5", or a list of them'
    return [_text(option, each, value, wanted).strip() for each in _each(value)]


def paths(option: str, value: Any) -> list[Path]:
    """Paths: one, or several in a list."""
    return [_path(option, each, value, "a path, or a list of paths") for each in _each(value)]


def files_of_datasets(option: str, value: Any) -> list[str]:
    """Paths, or files of single datasets as "DATASET=FILE" or {dataset: file}, as text."""
    wanted = "a path, DATASET=FILE, or a list or dictionary of them"
    pairs = [("", each) for each in _each(value)]
    if isinstance(value, Mapping):
        pairs = [(f"{_text(option, name, value, wanted)}=", path) for name, path in value.items()]
    for _, each in pairs:
        if each == "":
            raise _refused(option, value, wanted)
    return [f"{before}{_path(option, each, value, wanted)}" for before, each in pairs]


def path(option: str, value: Any) -> Path:
    """A path, as text or as a Path."""
    return _path(option, value, value, "a path")


def name(option: str, value: Any) -> str:
    """One name."""
    return _text(option, value, value, "a name").strip()


def text(option: str, value: Any) -> str:
    """A name, or a path as text."""
    spelled = os.fspath(value) if isinstance(value, os.PathLike) else value
    return _text(option, spelled, value, "text")


def whole(option: str, value: Any) -> int:
    """A whole number."""
    return _whole(option, value, value, "a whole number")


def real(option: str, value: Any) -> float:
    """A number."""
    plain = _plain(value)
    try:
        if isinstance(plain, int | float | str) and not isinstance(plain, bool):
            return float(plain)
    except (ValueError, OverflowError):
        pass
    raise _refused(option, value, "a number")


def flag(option: str, value: Any) -> bool:
    """True or False."""
    plain = _plain(value)
    if not isinstance(plain, bool):
        raise _refused(option, value, "True or False")
    return plain


def read(options: Any, readers: Mapping[str, Reader]) -> None:
    """Replace each field of a frozen dataclass by what it means; None is its default.

    Lists become tuples, as frozen data holds them.

    Raises:
        UserError: what an option cannot mean.
    """
    for option in (each for each in fields(options) if each.init):
        value = getattr(options, option.name)
        if value is None and option.default is not MISSING:
            value = option.default
        else:
            value = readers[option.name](option.name.replace("methods", "method"), value)
        object.__setattr__(options, option.name, tuple(value) if type(value) is list else value)


def check_choice(option: str, value: str, kind: Any) -> None:
    """Refuse what is not among the values of a `Literal`.

    Raises:
        UserError: with the nearest.
    """
    if value not in get_args(kind):
        raise UserError(
            f"unknown {option} {shortened(value)!r}; {near_miss(value, get_args(kind))}"
        )


def check_bounds(option: str, value: float | None, least: int, most: int = LARGEST) -> None:
    """Refuse a number below `least`, or above `most`, which has 64 bits; None is neither.

    Raises:
        UserError: with the bound.
    """
    if value is not None and not least <= value <= most:  # nan is neither
        flag = option.replace("_", "-")
        bound = f"most {most}" if value > most else f"least {least}"
        raise UserError(f"--{flag} must be at {bound}, not {shortened(str(value))}")


def kept(value: Any) -> Any:
    """The value, for several readers: an iterator, which can be read only once, as a list."""
    return list(value) if isinstance(value, Iterator) else value


def _each(value: Any) -> list[Any]:
    """What a value holds, or the value itself; sets, which have no order, in that of their text."""
    if isinstance(value, _ONE) or not isinstance(value, Iterable):
        return [value]
    if isinstance(value, set | frozenset):
        return sorted(value, key=lambda each: (len(str(each)), str(each)))
    try:
        return list(value)
    except TypeError:  # an array without dimensions
        return [value]


def _plain(value: Any) -> Any:
    """A number or truth value of numpy or torch as Python's own."""
    return value.item() if getattr(value, "shape", None) == () else value


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _text(option: str, each: Any, value: Any, wanted: str) -> str:
    if not _is_text(each):
        raise _refused(option, value, wanted)
    return str(each)


def _path(option: str, each: Any, value: Any, wanted: str) -> Path:
    spelled = os.fspath(each) if isinstance(each, os.PathLike) else each
    if "\0" in (found := _text(option, spelled, value, wanted)):
        raise _refused(option, value, wanted)
    return Path(found)


def _whole(option: str, each: Any, value: Any, wanted: str) -> int:
    plain = _plain(each)
    try:
        if _is_text(plain):
            return int(plain)
        if not isinstance(plain, bool):
            return operator.index(plain)
    except (TypeError, ValueError):
        pass
    raise _refused(option, value, wanted)


def _refused(option: str, value: Any, wanted: str) -> UserError:
    shown = " ".join(repr(value).split())
    shown = shown if len(shown) <= 60 else shown[:57] + "..."
    return UserError(f"{option} must be {wanted}, not {shown}")
