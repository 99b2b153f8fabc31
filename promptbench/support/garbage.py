"""Python's search for garbage in cycles, for work that makes many things which stay."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

_NEW = 100_000  # objects between two searches, for 700 or 2,000 as Python has it


def seek_seldom() -> None:
    """Search for garbage seldom from now on, and not among what is there already.

    Thousands of records are kept for as long as a table of them is made: to look through them again
    and again takes a sixth of the time, and finds next to nothing.
    """
    gc.freeze()
    gc.set_threshold(_NEW, *gc.get_threshold()[1:])


@contextmanager
def seldom_sought() -> Iterator[None]:
    """Search for garbage seldom in the block, as `seek_seldom`."""
    before = gc.get_threshold()
    seek_seldom()
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()
