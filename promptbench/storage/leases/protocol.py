"""Taking a lease, taking it over, giving it back; the package says what this rests on."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from promptbench.errors import OutputError, RunError
from promptbench.storage.files import told_if_unwritable
from promptbench.storage.leases import files
from promptbench.storage.leases.files import TURN, Seen, look
from promptbench.storage.leases.heartbeat import Heart, Watcher
from promptbench.storage.leases.holder import Holder

_HEART = Heart()  # one per process, as processes hold leases
_WATCHER = Watcher(_HEART)
_JITTER = random.Random()  # never the global stream, which is a cell's
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_HEART.forget)


class LeaseLost(RunError):
    """Another worker has taken over what this one worked on, as it had not beaten for too long."""


class Lease:
    """A claim of this process on what `path` stands for."""

    def __init__(self, path: Path) -> None:
        self.path, self.holder = path, Holder.of_this_process()
        self.claim = self.holder.claim

    def take(self) -> bool:
        """Take the lease if it is free or stale; whether it is this claim's now."""
        found = look(self.path)
        if found is None:
            return self._create()
        return _WATCHER.is_stale(found) and self._take_over(found)

    def beat(self) -> None:
        """Touch the file, if it is still this claim's."""
        with suppress(FileNotFoundError):
            files.touch(self.path, self.claim)

    def refuse_lost(self) -> None:
        """Let pass a process that still holds the lease.

        Raises:
            LeaseLost: it does not.
            OutputError: the folder cannot be read.
        """
        with told(self.path):
            found = look(self.path)
        if found is None or found.claim != self.claim:
            who = f"another worker, {found.holder}," if found else "another worker"
            raise LeaseLost(f"{who} has taken it over")

    def release(self) -> None:
        """Remove the lease, where it was taken and is still this claim's."""
        if not _HEART.drop(self):
            return
        found = look(self.path)
        if found is not None and self._is_own(found):
            files.remove(self.path, self.claim, self._is_own)

    def _is_own(self, found: Seen) -> bool:
        return found.claim == self.claim

    def _create(self) -> bool:
        _HEART.add(self)  # first: a lease of this process that it does not know of is stale
        mine = files.create(self.path, self.holder)
        if not mine:
            _HEART.drop(self)
        return mine

    def _take_over(self, stale: Seen) -> bool:
        with claimed(self.path.with_name(f"{self.path.name}{TURN}")) as turn:
            if turn is None:
                return False
            found = look(self.path)
            if found is None:
                return self._create()
            if not found.is_same(stale):
                return False
            return files.remove(self.path, self.claim, stale.is_same) and self._create()


def place(out: Path, kind: str, digest: str) -> Path:
    """The lease of a cell, a training or whatever else one process works on at a time."""
    return folder_of(out) / f"{kind}-{digest[:32]}"


def folder_of(out: Path) -> Path:
    """Where the leases of what lies in `out` are."""
    return out / ".locks"


@contextmanager
def claimed(path: Path) -> Iterator[Lease | None]:
    """Hold a lease inside the block if it is free; None if it is not.

    Raises:
        OutputError: as `held`.
    """
    lease = Lease(path)
    try:  # from here on, since a signal may end it in the middle
        with told(path):
            mine = lease.take()
        yield lease if mine else None
    finally:
        with told(path):
            lease.release()


@contextmanager
def held(path: Path) -> Iterator[Lease]:
    """Wait for a lease and hold it inside the block.

    Raises:
        OutputError: it cannot be written; what the block raises passes as it is.
    """
    for pause in pauses(0.05, 2.0):
        with claimed(path) as lease:
            if lease is not None:
                yield lease
                return
        time.sleep(pause)


def is_held(path: Path) -> bool:
    """Whether a process holds a lease at this moment, this one included.

    Raises:
        OutputError: the folder cannot be read.
    """
    return seen_held(path) is not None


def seen_held(path: Path) -> Seen | None:
    """A lease as it is, if a process holds it."""
    with told(path):
        found = look(path)
        return None if found is None or _WATCHER.is_stale(found) else found


def refuse_lost(out: Path) -> None:
    """Let pass a process that still holds all leases that it has taken in `out`.

    Raises:
        LeaseLost: it does not.
        OutputError: the folder cannot be read.
    """
    for lease in _HEART.leases():
        if isinstance(lease, Lease) and lease.path.parent == folder_of(out):
            lease.refuse_lost()


def clock(out: Path) -> float:
    """What time it is by the clock that stamps files in `out`: seconds since 1970.

    Raises:
        OutputError: nothing can be written there.
    """
    folder = folder_of(out)
    with told(folder):
        return files.clock(folder)


def pauses(first: float, longest: float, growth: float = 1.25) -> Iterator[float]:
    """Seconds to wait between looks, growing, each by chance up to a third shorter or longer."""
    pause = first
    while True:
        yield pause * _JITTER.uniform(2 / 3, 4 / 3)
        pause = min(pause * growth, longest)


@contextmanager
def told(path: Path) -> Iterator[None]:
    """Turn errors of the file system into OutputError."""
    try:
        with told_if_unwritable(path):
            yield
    except OSError as error:
        raise OutputError(
            f"cannot lock {path}: {error.strerror or error}; run the same command again, finished "
            "parts are kept"
        ) from error
