"""Keeping what a pass has decoded: a part for each shard, by one process, as far as there is room.

Nothing of it stops a pass: a cache that cannot be written costs time later.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from promptbench.data.decoded.folder import VARIABLE, Folder
from promptbench.data.decoded.parts import Writer, hold
from promptbench.data.images.transforms import Levels
from promptbench.data.shards.shards import Entry
from promptbench.errors import OutputError
from promptbench.storage import leases
from promptbench.storage.files import written_whole

_PER_IMAGE, _PER_PART = 40, 2048  # bytes of a part's list, at most


@dataclass(frozen=True)
class Lacking:
    """What a pass will decode of a shard: how many images, what they hang on, and how many parts
    there were."""

    count: int
    digest: str
    facts: dict[str, Any]
    parts: int


class _NoRoom(Exception):
    """Takes a file away that was begun."""


class Filling:
    """Takes the decoded images of a pass, in shard order. Only one thread may use it."""

    def __init__(
        self, folder: Folder, lacking: Mapping[str, Lacking], shape: tuple[int, int, int]
    ) -> None:
        self._folder, self._lacking, self._shape = folder, lacking, shape
        self._stack, self._shard = ExitStack(), ""
        self._written = ExitStack()  # holds the parts of this pass, which make no room for others
        self._writer: Writer | None = None
        self._is_over = not folder.is_on

    def add(self, entry: Entry, levels: Levels) -> None:
        """Keep an image, uint8 [3, size, size], if it can be kept."""
        if self._is_over:
            return
        try:
            if entry.shard != self._shard:
                self._finish()
                self._shard = entry.shard
                self._begin(self._lacking[entry.shard])
            if self._writer is not None:
                self._writer.add((entry.offset, entry.size), levels)
        except (OSError, OutputError) as error:
            self._give_up(error)

    def close(self) -> None:
        """Finish the part at hand with what it has, as a pass may have stopped early."""
        with self._written:
            try:
                self._finish()
            except (OSError, OutputError) as error:
                self._give_up(error)

    def _begin(self, lacking: Lacking) -> None:
        folder = self._folder
        lease = self._stack.enter_context(leases.claimed(folder.lease(lacking.digest)))
        # Another process may be writing these, or have written them since this pass began.
        if lease is None or len(folder.listed()[lacking.digest]) != lacking.parts:
            self._stack.close()
            return
        self._path = folder.free_path(lacking.digest)
        size = lacking.count * (_size(self._shape) + _PER_IMAGE) + _PER_PART
        if size > folder.bound or not self._has_reserved(size, lacking):
            self._is_over = True
            warnings.warn(
                "not all decoded images are kept, so that later passes decode them again: "
                f"{VARIABLE}, or the free disk, leaves no room beside those in use (`promptbench "
                "doctor` says how much is kept)",
                stacklevel=2,
            )
            self._stack.close()

    def _has_reserved(self, size: int, lacking: Lacking) -> bool:
        """Begin a part of `size` bytes at most, if there is room for it; whether there is."""
        try:
            with ExitStack() as begun:
                file = begun.enter_context(written_whole(self._path))
                file.truncate(size)  # takes no blocks yet, but others see it
                if not self._folder.has_room():
                    raise _NoRoom
                self._writer = Writer(file, lacking.facts, self._shape)
                self._stack.enter_context(begun.pop_all())
        except _NoRoom:
            return False
        return True

    def _finish(self) -> None:
        written, self._writer = self._writer, None
        if written is not None:
            written.finish()
        self._stack.close()
        if written is not None:
            hold(self._written.enter_context(self._path.open("rb")))

    def _give_up(self, error: Exception) -> None:
        """Leave what cannot be written, with a word."""
        self._is_over, self._writer = True, None
        try:
            self._stack.__exit__(type(error), error, error.__traceback__)
            told = error
        except OutputError as wrapped:
            told = wrapped
        except OSError:
            told = error
        why = getattr(told.__cause__ or told, "strerror", None) or told
        warnings.warn(
            f"decoded images are not kept: cannot write into {self._folder.path} ({why}), so that "
            f"later passes decode them again; {VARIABLE}=0 switches this off",
            stacklevel=2,
        )


def _size(shape: tuple[int, int, int]) -> int:
    return shape[0] * shape[1] * shape[2]
