"""Writing files so that a reader sees the old content or the new, never a part.

Logs are the exception: they grow by a line at a time, whose last may be torn by a kill.
"""

from __future__ import annotations

import errno
import functools
import glob
import hashlib
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from promptbench.errors import OutputError

_FULL = (errno.ENOSPC, errno.EDQUOT)
_UNWRITABLE = (*_FULL, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EIO)


def write_atomically(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Call `write` on a temporary file, flush it to disk, and rename it to `path`.

    Raises:
        OutputError: the folder cannot be written, or the disk is full.
    """
    with written_whole(path) as file:
        write(file)
        file.flush()
        os.fsync(file.fileno())
    try:
        _flush_folder(path.parent)
    except OSError as error:
        raise _cannot_write(path, error) from error


@contextmanager
def written_whole(path: Path) -> Iterator[IO[bytes]]:
    """A temporary file that is renamed to `path` when the block ends, and removed if it raises.

    Nothing is flushed: after a power cut the file may be there without its content, which only
    those can bear who check it.

    Raises:
        OutputError: as `write_atomically`, also for errors of files inside the block.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    except OSError as error:
        raise _cannot_write(path, error) from error
    scratch = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
        scratch.chmod(0o644)
        scratch.replace(path)
    except OSError as error:
        raise _cannot_write(path, error) from error
    finally:
        scratch.unlink(missing_ok=True)


def _flush_folder(folder: Path) -> None:
    """Make a rename outlast a power cut, where folders can be flushed."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network file systems
                raise
        finally:
            os.close(handle)


def write_whole(path: Path, data: bytes) -> None:
    """`write_atomically` of bytes that are there already."""
    write_atomically(path, lambda file: file.write(data))


def append(path: Path, line: str) -> None:
    """Append a line to a log, on a line of its own even after one that a kill has torn.

    A kill may tear this one too: readers skip lines that are not whole.

    Raises:
        OutputError: as `write_atomically`.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a+b") as file:
            gap = "\n" if _is_torn(file) else ""
            file.write(f"{gap}{line}\n".encode())
    except OSError as error:
        raise _cannot_write(path, error) from error


def _is_torn(file: IO[bytes]) -> bool:
    """Whether a file ends within a line."""
    if not file.seek(0, os.SEEK_END):
        return False
    file.seek(-1, os.SEEK_END)
    return file.read(1) != b"\n"


def sweep(folder: Path, age: float = 0.0, name: str | None = None) -> None:
    """Remove what killed processes have left of `write_atomically` of any file, or of the one that
    is called `name`, if older than `age` seconds.

    With age 0 nobody else may be writing there.
    """
    for scratch in folder.glob(f".{'*' if name is None else glob.escape(name)}-????????"):
        try:
            if time.time() - scratch.stat().st_mtime >= age or age == 0:
                scratch.unlink()
        except (FileNotFoundError, PermissionError):  # finished or swept, or another user's
            continue


def _cannot_write(path: Path, error: OSError) -> OutputError:
    reason = error.strerror or str(error)
    if error.errno in _FULL:
        reason += "; free some space and run the same command again, finished parts are kept"
    return OutputError(f"cannot write {path}: {reason}")


@contextmanager
def told_if_unwritable(folder: Path) -> Iterator[None]:
    """Turn errors of a full or read-only disk inside the block into OutputError."""
    try:
        yield
    except OSError as error:
        if error.errno not in _UNWRITABLE:
            raise
        raise _cannot_write(Path(error.filename or folder), error) from error


def ensure_writable(folder: Path, option: str = "--out") -> None:
    """Make the folder of an option and refuse one that cannot be written, before anything is
    computed."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OutputError(
            f"the output folder {folder} cannot be written ({error.strerror or error}); "
            f"pass another with {option}"
        ) from error


@functools.lru_cache(maxsize=4096)
def _hash(path: Path, device: int, inode: int, size: int, mtime_ns: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def file_sha256(path: Path) -> str:
    """SHA-256 of a file; remembered while its size and time stamp stay the same."""
    stat = path.stat()
    return _hash(path, stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns)
