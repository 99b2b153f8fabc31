"""The files of leases, one step at a time: looked at, made whole, moved aside, put back.

Every step is one that network file systems do in one piece: link, O_EXCL, rename, remove.
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from promptbench.storage.leases.holder import Holder, worker

TURN, NEW, OLD = ".turn", ".new", ".old"  # what the names of files beside a lease end in
_LONGEST = 4096  # bytes that are read of a lease
# As they are, on Windows too, and not for processes that are started.
_PLAIN = getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOINHERIT", 0) | getattr(os, "O_BINARY", 0)
_READ = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | _PLAIN  # whatever lies there, no wait for it
_MAKE = os.O_WRONLY | os.O_CREAT | _PLAIN
_EVERYBODY = 0o444
# What file systems answer that have no links, or none across what seems one folder.
_NO_LINKS = frozenset(
    {
        *(errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS),
        *(errno.EXDEV, errno.EINVAL, errno.ENOTTY),
    }
)


@dataclass(frozen=True)
class Seen:
    """A lease's file as it was at a moment; `holder` is None while it is not whole."""

    path: Path
    holder: Holder | None
    inode: int
    touched: int  # nanoseconds since 1970, by the clock that stamps it

    @property
    def claim(self) -> str | None:
        """Which claim made it."""
        return self.holder.claim if self.holder else None

    def is_same(self, other: Seen) -> bool:
        """Whether it is the same claim, not touched in between."""
        mine, theirs = (self.claim, self.inode), (other.claim, other.inode)
        return mine == theirs and self.touched == other.touched


def look(path: Path) -> Seen | None:
    """A lease's file, opened so that a network file system asks its server; None without one."""
    try:
        descriptor = os.open(path, _READ)
    except FileNotFoundError:
        return None
    try:
        about = os.fstat(descriptor)
        holder = Holder.read(os.read(descriptor, _LONGEST))
    except OSError as error:
        if error.errno != errno.ESTALE:  # removed on another node between the two
            raise
        return None
    finally:
        os.close(descriptor)
    return Seen(path, holder, about.st_ino, about.st_mtime_ns)


def touch(path: Path, claim: str) -> None:
    """Touch the lease of a claim, by the clock of its file system; another claim's is left alone.

    Raises:
        FileNotFoundError: there is none.
    """
    descriptor = os.open(path, _READ)
    try:
        holder = Holder.read(os.read(descriptor, _LONGEST))
        if holder is not None and holder.claim == claim:
            os.utime(descriptor if os.utime in os.supports_fd else path)
    finally:
        os.close(descriptor)


def clock(folder: Path) -> float:
    """What time it is by the clock that stamps files in `folder`: seconds since 1970."""
    probe = folder / f"clock-{worker()}-{threading.get_ident():x}{NEW}"
    descriptor = _opened(probe, _MAKE)
    try:
        os.utime(probe)  # creating it may leave another time, or none
        return os.fstat(descriptor).st_mtime
    finally:
        os.close(descriptor)
        probe.unlink(missing_ok=True)


def create(path: Path, holder: Holder) -> bool:
    """Create a lease with its content, unless the name is taken; whether it is the holder's."""
    new = _beside(path, holder.claim, NEW)
    try:
        _write(new, holder.encoded())
        try:
            os.link(new, path)
        except FileExistsError:  # which NFS may say of a link that it has just made
            found = look(path)
            return found is not None and found.claim == holder.claim
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            return _create_without_links(path, holder)
        return True
    finally:
        new.unlink(missing_ok=True)


def remove(path: Path, claim: str, is_meant: Callable[[Seen], bool]) -> bool:
    """Remove a lease's file if it is the one that is meant; whether it was.

    It is looked at when nobody can change it any more: moved aside, under a name with the `claim`
    of who removes it. A wrong one is put back.
    """
    old = _beside(path, claim, OLD)
    try:
        path.rename(old)
    except FileNotFoundError:
        return False
    found = look(old)
    meant = found is not None and is_meant(found)
    if not meant:
        _put_back(old, path)
    old.unlink(missing_ok=True)
    return meant


def _beside(path: Path, claim: str, ending: str) -> Path:
    return path.with_name(f"{path.name}-{claim}{ending}")


def _opened(path: Path, flags: int) -> int:
    """Open a file, in a folder that is made where there is none."""
    try:
        return os.open(path, flags, 0o644)
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        return os.open(path, flags, 0o644)


def _write(path: Path, content: bytes) -> None:
    """Write a file that is not there yet, and that every user may read.

    Raises:
        FileExistsError: it is there.
    """
    descriptor = _opened(path, _MAKE | os.O_EXCL)
    try:
        try:
            os.write(descriptor, content)
            if os.fstat(descriptor).st_mode & _EVERYBODY != _EVERYBODY:
                os.fchmod(descriptor, 0o644)
        finally:
            os.close(descriptor)  # when a network file system sends what was written
    except BaseException:  # a stop too: nothing half is left
        path.unlink(missing_ok=True)
        raise


def _create_without_links(path: Path, holder: Holder) -> bool:
    try:
        _write(path, holder.encoded())
    except FileExistsError:
        return False
    return True


def _put_back(old: Path, path: Path) -> None:
    """Give a lease its name again, unless somebody has it by now."""
    try:
        os.link(old, path)
    except FileExistsError:
        return
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        if not path.exists():
            old.rename(path)
