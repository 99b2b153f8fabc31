"""Locks between processes that share an output folder, on this machine or on a file system.

They are the operating system's: the lock of a process that died is free. A file system that has
none gets filelock's own: files that name their holder, which are free once it does not live any
more. Whether one of another machine lives cannot be seen from here.
"""

from __future__ import annotations

import errno
import functools
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import BaseFileLock, FileLock, SoftFileLock, Timeout

from promptbench.errors import OutputError
from promptbench.storage.files import told_if_unwritable

# What file systems answer that cannot lock: network ones without a lock server, FUSE, others.
_NO_LOCKS = frozenset(
    {errno.ENOLCK, errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOTTY}
)


def place(out: Path, kind: str, digest: str) -> Path:
    """The lock file of a cell or a training."""
    return out / ".locks" / f"{kind}-{digest[:32]}"


@contextmanager
def claimed(path: Path) -> Iterator[bool]:
    """Hold a lock inside the block if it is free; says whether it was.

    Raises:
        OutputError: as `held`.
    """
    lock = _lock(path)
    try:
        with _told_if_it_cannot_lock(path):
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
    with _told_if_it_cannot_lock(path):
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def is_held(path: Path) -> bool:
    """Whether another process holds a lock at this moment."""
    with claimed(path) as free:
        return not free


def stand_ins(out: Path) -> str | None:
    """What to know where the operating system's locks do not work; None where they do.

    Raises:
        OutputError: the folder of locks cannot be written.
    """
    folder = place(out, "", "").parent
    if (reason := _missing(_made(folder))) is None:
        return None
    return (
        f"the file system of {folder} has no locks ({reason}): files stand in for them. If another "
        "machine that takes part dies, its cells wait until you delete that folder, with no run "
        "under way"
    )


def _lock(path: Path) -> BaseFileLock:
    if _missing(_made(path.parent)) is None:
        return FileLock(path)
    return SoftFileLock(path.with_name(f"{path.name}.holder"))  # FileLock's file may lie there


def _made(folder: Path) -> Path:
    with told_if_unwritable(folder):
        folder.mkdir(parents=True, exist_ok=True)
    return folder


@functools.cache  # the same answer for as long as the process lives: the two kinds must not mix
def _missing(folder: Path) -> str | None:
    """What a folder's file system answers instead of locking a file; None if it locks."""
    if os.name != "posix":
        return None
    import fcntl

    try:
        with told_if_unwritable(folder), tempfile.TemporaryFile(dir=folder) as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        return error.strerror or str(error)
    return None


@contextmanager
def _told_if_it_cannot_lock(path: Path) -> Iterator[None]:
    """Turn errors of a lock into OutputError; one that locked before and does not now is one."""
    try:
        with told_if_unwritable(path):
            yield
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        raise OutputError(
            f"cannot lock {path}: {error.strerror}; run the same command again, finished parts are "
            "kept"
        ) from error
