"""A database of the user's cache: it saves time, and nothing that befalls it is an error.

One that another process keeps locked is waited for once, and is then as an empty one; one that is
locked for writing only is waited for once more, and is then read only. One that is damaged, or has
other tables, is set aside, and an empty one takes its place. One that cannot be read or written for
another reason, such as a full disk, is as an empty one.
"""

from __future__ import annotations

import sqlite3
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

Tell = Callable[[str], object]  # hears, in a sentence, of what costs the user time

_WAIT = 10.0  # seconds that are waited for another process: a busy disk can take some
_LOCKED = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_BESIDE = ("-journal", "-wal", "-shm")  # what the names of a database's further files end in
_ASIDE = ".damaged"
_waited: set[Path] = set()  # files that this process has waited for in vain, to read them
_told: set[str] = set()


def warn(text: str) -> None:
    """Tell something as a warning, where nobody else takes it."""
    warnings.warn(text, stacklevel=2)


def unheard(text: str) -> None:
    """Tell nothing: for a process beside one that meets the same, and tells it."""


class Database:
    """A SQLite file at `path` with tables of its own, where that is possible.

    `tables` are their statements after CREATE TABLE. `tell` hears, once, that the file is locked
    or damaged.
    """

    def __init__(self, path: Path, tables: Sequence[str], tell: Tell = warn) -> None:
        self.path = path
        self._tables, self._tell = tables, tell
        self._open: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None
        self._writes, self._renewed = True, False
        self._connect()

    @property
    def is_open(self) -> bool:
        """Whether it is read at all; otherwise nothing is known and nothing kept."""
        return self._open is not None

    def rows(self, query: str, keys: Sequence[str]) -> list[tuple[Any, ...]]:
        """The rows of a query; none where the file cannot be read."""
        if self._open is None:
            return []
        try:
            return self._open.execute(query, keys).fetchall()
        except sqlite3.Error as error:
            self._failed(error)
            return []

    def write(self, work: Callable[[sqlite3.Connection], object]) -> bool:
        """Do some work in one transaction, all or nothing; whether it was done."""
        if self._open is None or not self._writes:
            return False
        try:
            with _written(self._open):
                work(self._open)
        except sqlite3.Error as error:
            if _code(error) in _LOCKED:  # which keeps nobody from reading it
                self._writes = False
                self._say_locked("what is found out now is not kept in it")
                return False
            return self._failed(error) and self.write(work)
        return True

    def close(self) -> None:
        """Close the file."""
        if self._open is not None:
            self._open.close()
            self._open = None

    def _connect(self) -> None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = _file(self.path)
            wait = 0.0 if self.path in _waited else _WAIT
            self._open = sqlite3.connect(self.path, timeout=wait, isolation_level=None)
            for table in self._tables:
                self._open.execute(f"CREATE TABLE IF NOT EXISTS {table}")
            found = self._open.execute("SELECT sql FROM sqlite_master").fetchall()
        except OSError:
            self.close()
        except sqlite3.Error as error:
            if _code(error) == sqlite3.SQLITE_ERROR:  # tables that this SQLite cannot use
                self._renew(str(error))
            elif not self._failed(error):
                self.close()
        else:
            if not {(f"CREATE TABLE {table}",) for table in self._tables} <= {*found}:
                self._renew("it has other tables")

    def _failed(self, error: sqlite3.Error) -> bool:
        """Answer an error of reading or writing; whether the file is usable now."""
        if _code(error) in _LOCKED:
            self.close()
            _waited.add(self.path)
            self._say_locked("it is not used, which takes as long as without it")
        elif _code(error) in _DAMAGED:
            return self._renew(str(error))
        return False

    def _renew(self, why: str) -> bool:
        """Set the file aside, once, and begin a new one; whether it is usable."""
        self.close()
        if self._renewed:
            return False
        self._renewed = True
        try:
            moved = self._set_aside()
        except OSError:  # it cannot be moved: as a file that cannot be written
            return False
        if moved:
            self._tell(
                f"{self.path} is damaged ({why}); it was moved to {self.path.name}{_ASIDE}, and "
                "what it held is found out again"
            )
        self._connect()
        return self.is_open

    def _set_aside(self) -> bool:
        """Move the file that was opened, unless another process has put a new one in its place.

        The moved file keeps its inode, which no new one can have then. A process that has it still
        open writes no more: SQLite refuses to write a file that was moved.

        Raises:
            OSError: it cannot be moved.
        """
        if self._file is None or _file(self.path) != self._file:
            return False
        for end in _BESIDE:  # of the damaged one: they would be applied to the new one
            self.path.with_name(f"{self.path.name}{end}").unlink(missing_ok=True)
        with suppress(FileNotFoundError):  # another process was quicker
            self.path.replace(self.path.with_name(f"{self.path.name}{_ASIDE}"))
            return True
        return False

    def _say_locked(self, and_so: str) -> None:
        text = f"{self.path} is locked by another process; {and_so}"
        if text not in _told:
            _told.add(text)
            self._tell(text)


@contextmanager
def _written(store: sqlite3.Connection) -> Iterator[None]:
    """Write in one transaction, all or nothing: one that was left open would keep others out.

    Raises:
        sqlite3.Error: nothing was written.
    """
    store.execute("BEGIN IMMEDIATE")
    try:
        yield
        store.execute("COMMIT")
    except BaseException:  # whatever it is, it is raised again, and the file is not left locked
        store.rollback()
        raise


def _code(error: sqlite3.Error) -> int:
    """What kind of error of SQLite it is; 0 for one of Python's module."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def _file(path: Path) -> tuple[int, int] | None:
    """Which file has this name now; None without one."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino
