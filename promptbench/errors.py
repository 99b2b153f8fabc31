"""Errors made for people: one sentence that says what is wrong, where, and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import ClassVar


class UserError(Exception):
    """Something the user can mend; the command line prints it and exits, no traceback."""

    exit_code: ClassVar[int] = 2


class RunError(UserError):
    """What no cell is to blame for: it stops the run, which goes on when it is mended."""


class OutputError(RunError):
    """The run's own files cannot be written (disk full, read-only)."""


def near_miss(name: str, known: Iterable[str]) -> str:
    """The tail of an "unknown name" message: the closest names, else everything there is."""
    candidates = sorted(set(known))
    folded = {candidate.lower(): candidate for candidate in candidates}
    close = difflib.get_close_matches(name.lower(), folded, n=2, cutoff=0.5)
    if close:
        return f"did you mean {' or '.join(repr(folded[c]) for c in close)}?"
    if not candidates:
        return "there are none"
    return f"known: {', '.join(candidates)}"


def unknown(kind: str, name: str, known: Iterable[str], remedy: str = "") -> UserError:
    """The error for a name that no registry, suite or card knows."""
    tail = f" ({remedy})" if remedy else ""
    return UserError(f"unknown {kind} {name!r}; {near_miss(name, known)}{tail}")
