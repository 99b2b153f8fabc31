"""Errors made for people: one sentence that says what is wrong, where, and what to do."""

from __future__ import annotations

import difflib
import traceback
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from promptbench.support.safe_text import shortened, shown_path

if TYPE_CHECKING:
    from pydantic import ValidationError

_MOST_LISTED = 60  # names, when none is close
_KEYS = 8  # of a file, that one message names
_GIN_TAIL = "\n  In call to configurable"  # what gin adds to errors of a class it constructs


class UserError(Exception):
    """Something the user can fix; the command line prints it and exits, no traceback."""

    exit_code: ClassVar[int] = 2


class RunError(UserError):
    """What no cell is to blame for: it stops the run, which goes on when it is fixed."""


class OutputError(RunError):
    """The run's own files cannot be written (disk full, read-only)."""


def near_miss(name: str, known: Iterable[str]) -> str:
    """The tail of an "unknown name" message: the closest names, else everything there is, or how
    much, where that is too much to be read."""
    candidates = sorted(set(known))
    if close := closest(name, candidates):
        return f"did you mean {' or '.join(map(repr, close))}?"
    if not candidates:
        return "there are none"
    if len(candidates) > _MOST_LISTED:
        return f"none of {len(candidates)} known ones is like it"
    return f"known: {', '.join(candidates)}"


def closest(name: str, known: Iterable[str]) -> list[str]:
    """The closest of known names, at most two; none where none is close.

    In short names one letter may be wrong, or two exchanged, in longer ones about half of them.
    """
    folded = {candidate.lower(): candidate for candidate in sorted(known)}
    cutoff = 0.66 if len(name) <= 4 else 0.6 if len(name) <= 6 else 0.5
    near = difflib.get_close_matches(name.lower(), folded, n=2, cutoff=cutoff)
    return [folded[each] for each in near]


def unknown(kind: str, name: str, known: Iterable[str], remedy: str = "") -> UserError:
    """The error for a name that no registry, suite or card knows."""
    tail = f" ({remedy})" if remedy else ""
    return UserError(f"unknown {kind} {shortened(name)!r}; {near_miss(name, known)}{tail}")


def with_path(error: UserError, path: Path) -> str:
    """What is wrong with a file, with its path where the error does not say it."""
    reason, named = str(error), shown_path(path)
    return reason if named in reason else f"{named}: {reason}"


def one_line(error: BaseException) -> str:
    """An error in one line; one that is not a `UserError` with the place it comes from."""
    if isinstance(error, UserError):
        return " ".join(str(error).partition(_GIN_TAIL)[0].split())
    frame = traceback.extract_tb(error.__traceback__)[-1]
    kind = "not enough memory" if isinstance(error, MemoryError) else type(error).__name__
    text = " ".join(f"{kind}: {error}".split()).removesuffix(":")
    return f"{text} ({Path(frame.filename).name}, line {frame.lineno})"


def first_problem(error: ValidationError, whole: str) -> str:
    """Message of the first thing that is wrong, after the keys of all that are wrong that way."""
    problems = error.errors()
    message = problems[0]["msg"]
    alike = [problem["loc"] for problem in problems if problem["msg"] == message]
    keys = [".".join(map(str, place)) or whole for place in alike]
    rest = f" and {len(keys) - _KEYS} more" if len(keys) > _KEYS else ""
    return f"{', '.join(keys[:_KEYS])}{rest}: {message.removeprefix('Value error, ')}"
