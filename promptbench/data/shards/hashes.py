"""Hashes of files, remembered while the files stay as they are; and files read under their hash.

A file has stayed as it is while its size, inode, modification time and change time are the same.
Whoever edits a file and puts its modification time back still moves the change time. Bits that rot
on the medium move nothing: they show when the file is hashed for the first time, and whenever
`promptbench data verify` hashes it again.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from io import BufferedReader
from pathlib import Path
from typing import NamedTuple

from promptbench.data.cards.places import cache_folder
from promptbench.errors import UserError
from promptbench.storage import reading
from promptbench.storage.files import append

_MOST_LOG = 16 * 2**20  # bytes; a line has some 150, and a dataset at most some thousand shards
# Within this time after a write, another one may leave the same time stamps: FAT counts in twos.
_SETTLES = 2 * 10**9  # nanoseconds


class FileState(NamedTuple):
    """What distinguishes a file from the same file after a change; times in nanoseconds."""

    size: int
    modified: int
    changed: int
    inode: int


class Differs(Exception):
    """A file is not the one that its hash names; the text says why."""


class Memory:
    """The hashes of a folder's files, remembered in a log in the cache."""

    def __init__(self, folder: Path) -> None:
        digest = hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()
        self._log = cache_folder() / "hashes" / f"{digest[:32]}.jsonl"

    def sha256(self, file: BufferedReader, again: bool = False) -> tuple[str, FileState]:
        """The SHA-256 of an open file of the folder, and the state in which it has it.

        `again`: whatever is remembered.
        """
        name, state = Path(file.name).name, state_of(file)
        known = self._known.get(name)
        if known is not None and known[1] == state and not again:
            return known
        file.seek(0)
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        if state_of(file) == state and _has_settled(state):
            self._note(name, sha256, state)
        return sha256, state

    def remember(self, path: Path, sha256: str, since: int) -> None:
        """Remember the hash that a file of the folder had at the time `since`, in nanoseconds,
        unless it was changed after that."""
        state = _state(path.stat())
        if max(state.modified, state.changed) <= since and _has_settled(state):
            self._note(path.name, sha256, state)

    def vouches(self, path: Path, sha256: str) -> bool:
        """Whether a file of the folder is remembered, as it is now, with a certain hash."""
        return path.is_file() and self._known.get(path.name) == (sha256, _state(path.stat()))

    @cached_property
    def _known(self) -> dict[str, tuple[str, FileState]]:
        found: dict[str, tuple[str, FileState]] = {}
        for line in self._lines():
            try:
                name, sha256, *state = json.loads(line)
                found[str(name)] = str(sha256), FileState(*map(int, state))
            except (ValueError, TypeError):  # torn by a kill
                continue
        return found

    def _lines(self) -> list[bytes]:
        try:
            if not self._log.is_file():
                return []
            if self._log.stat().st_size > _MOST_LOG:  # years of changes: it begins again
                self._log.unlink()
                return []
            return reading.read_bytes(self._log, _MOST_LOG, "remembered hashes").splitlines()
        except (OSError, UserError) as error:  # it costs the time to hash again, not the run
            warnings.warn(f"remembered hashes are not used: {error}", stacklevel=2)
            return []

    def _note(self, name: str, sha256: str, state: FileState) -> None:
        if self._known.get(name) == (sha256, state):
            return
        self._known[name] = sha256, state
        try:
            append(self._log, json.dumps([name, sha256, *state]))
        except UserError as error:
            warnings.warn(f"hashes are not remembered: {error}", stacklevel=2)


class GuardedFile:
    """An open file that gives bytes only while it is the one that its hash names."""

    def __init__(self, file: BufferedReader, sha256: str, memory: Memory) -> None:
        self._file, self._expected, self._memory = file, sha256, memory
        self._state = self._checked()

    def read(self, offset: int, size: int) -> bytes:
        """At most `size` bytes from `offset` on.

        Raises:
            Differs: the file was changed meanwhile.
        """
        data = self._at(offset, size)
        if state_of(self._file) != self._state:  # perhaps only touched
            self._state = self._checked()
            data = self._at(offset, size)
        return data

    def _at(self, offset: int, size: int) -> bytes:
        self._file.seek(offset)
        return self._file.read(size)

    def _checked(self) -> FileState:
        found, state = self._memory.sha256(self._file)
        if found != self._expected:
            raise Differs(f"its sha256 is {found[:12]}..., not {self._expected[:12]}...")
        return state


@contextmanager
def opened(path: Path, sha256: str, memory: Memory) -> Iterator[GuardedFile]:
    """Open a file that has a certain hash; one that takes its place later is not read.

    Raises:
        Differs: it has another hash.
        OSError: it cannot be opened, or is not a regular file.
    """
    if not path.is_file():
        raise FileNotFoundError(path)
    with path.open("rb") as file:
        yield GuardedFile(file, sha256, memory)


def sha256_of(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def remembered(path: Path, again: bool = False) -> str:
    """SHA-256 of a file, hashed once while it stays as it is; `again`: whatever is remembered."""
    with path.open("rb") as file:
        return Memory(path.parent).sha256(file, again)[0]


def state_of(file: BufferedReader) -> FileState:
    """The state of an open file."""
    return _state(os.fstat(file.fileno()))


def _state(found: os.stat_result) -> FileState:
    return FileState(found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino)


def _has_settled(state: FileState) -> bool:
    return time.time_ns() - max(state.modified, state.changed) > _SETTLES
