"""What long work says while it goes on: steps with their progress, and lines worth reading.

Whatever works takes a `Reporter`; a run's listeners (promptbench.tracking) are reporters that hear
of cells as well.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class Task:
    """A long step in progress."""

    def advance(self, count: int = 1, note: str = "") -> None:
        """`count` more units are done; `note` says how it stands (a loss, an accuracy)."""


class Reporter:
    """Told how work goes on; does nothing with it."""

    @contextmanager
    def task(self, label: str, total: int, unit: str) -> Iterator[Task]:
        """A long step of `total` units runs inside the block."""
        yield Task()

    def message(self, text: str) -> None:
        """Something worth a line."""
