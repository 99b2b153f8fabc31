"""Locks between processes that share an output folder, on this machine or on a file system.

They are the operating system's: the lock of a process that died is free. A file system that has
none gets filelock's own, which looks whether the holder still lives.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from promptbench.storage.files import told_if_unwritable


def place(out: Path, kind: str, digest: str) -> Path:
    """The lock file of a cell or a training."""
    return out / ".locks" / f"{kind}-{digest[:32]}"


@contextmanager
def claimed(path: Path) -> Iterator[bool]:
    """Hold a lock inside the block if it is free; says whether it was."""
    lock = _lock(path)
    try:
        with told_if_unwritable(path):
            lock.acquire(blocking=False)
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Wait for a lock and hold it inside the block.

    Raises:
        OutputError: it cannot be written; what the block raises passes as it is.
    """
    lock = _lock(path)
    with told_if_unwritable(path):
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def is_held(path: Path) -> bool:
    """Whether another process holds a lock at this moment."""
    with claimed(path) as free:
        return not free


def _lock(path: Path) -> FileLock:
    with told_if_unwritable(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(path)
