"""Class names that a user gives: a list, text with commas, or a file with one a line."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from promptbench.data.cards import naming
from promptbench.errors import UserError
from promptbench.support.safe_text import printable, shortened

_LONGEST = 1000  # characters of a name
_FILES = (".txt", ".csv", ".lst", ".names")


def given(value: str | os.PathLike[str] | Sequence[str]) -> tuple[str, ...]:
    """The class names in order, each once.

    Args:
        value: names in a list; or text, which is the path of a file if there is one of that name,
            else names with commas between them.

    Raises:
        UserError: none, an empty one, one that is there twice (underscores read as spaces), or a
            file that is not there or cannot be read.
    """
    if isinstance(value, str | os.PathLike):
        return _checked(*_from_text(os.fspath(value)))
    if not isinstance(value, Iterable) or isinstance(value, bytes):
        raise UserError(
            "class names are a list, a file with one a line, or text such as a,b,c, not "
            f"{type(value).__name__}"
        )
    return _checked(list(value), "the class names")


def _from_text(value: str) -> tuple[list[str], str]:
    path = Path(value).expanduser()
    if "," not in value and (os.sep in value or value.lower().endswith(_FILES)):
        if not path.exists():
            raise UserError(
                f"there is no file {value} of class names; names themselves are given as a,b,c"
            )
        return naming.read(path), str(path)
    if len(value) < 256 and path.is_file():
        return naming.read(path), str(path)
    return [part.strip() for part in value.split(",")], "--classes"


def _checked(names: list[str], where: str) -> tuple[str, ...]:
    if all(isinstance(name, str) and not name.strip(" _") for name in names):
        raise UserError(f"{where}: there is no class name")
    for number, name in enumerate(names, 1):
        if not isinstance(name, str):
            raise UserError(f"{where}: class name {number} is {name!r:.40}, which is no text")
        if not name.strip(" _"):
            raise UserError(f"{where}: class name {number} is empty")
        if len(name) > _LONGEST or not name.isprintable():
            raise UserError(
                f"{where}: class name {number}, {printable(shortened(name))!r}, is too long or has "
                "characters that cannot be printed"
            )
    read = Counter(name.replace("_", " ").strip() for name in names)
    twice = [name for name, count in read.items() if count > 1]
    if twice:
        more = f" (and {len(twice) - 1} more)" if len(twice) > 1 else ""
        raise UserError(f"{where}: the class {shortened(twice[0])!r} is there twice{more}")
    return tuple(name.strip() for name in names)
