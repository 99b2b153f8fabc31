"""Where accepted records lie, and which were recomputed: in a repository of their own, or, as the
miniature that comes with a checkout, beside this file."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from importlib import resources
from pathlib import Path

from promptbench.errors import UserError

VARIABLE = "PROMPTBENCH_RESULTS"
RESULTS, RECOMPUTED = "results", "recomputed"  # as a repository calls its folders
_named: ContextVar[Path | None] = ContextVar("named", default=None)


def results() -> Path:
    """The folder of accepted records: that of `kept_in`, of PROMPTBENCH_RESULTS, or of a checkout,
    which need not exist.

    Raises:
        UserError: PROMPTBENCH_RESULTS is not a folder.
    """
    named = _named.get()
    if named is not None:
        return named
    if said := os.environ.get(VARIABLE):
        return _folder_of(Path(said))
    return _beside_the_code()


@functools.cache  # asked for of every record
def _beside_the_code() -> Path:
    return Path(str(resources.files("promptbench.leaderboard"))) / RESULTS


def recomputed() -> Path:
    """The folder that says which accepted records were recomputed; it need not exist."""
    return results().with_name(RECOMPUTED)


@contextmanager
def kept_in(folder: Path) -> Iterator[None]:
    """Accepted records lie in `folder` within the block: a repository with a folder results/, or
    such a folder.

    Raises:
        UserError: it is not a folder.
    """
    token = _named.set(_folder_of(folder))
    try:
        yield
    finally:
        _named.reset(token)


def _folder_of(place: Path) -> Path:
    folder = place.expanduser()
    if not folder.is_dir():
        raise UserError(f"{place} (--results or {VARIABLE}) is not a folder of accepted records")
    inner = folder / RESULTS
    return (inner if inner.is_dir() else folder).resolve()
