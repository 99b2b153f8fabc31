"""An index of records for tables: their outlines, by where they lie and which files these are.

A report of many records then reads one row of a database for each of them, and neither the record
nor its predictions. A row counts as long as all files that it was found from are the very same
(`_files`): the record, the hashes and keys beside it, its predictions. It is written by the same
code only. What is damaged, foreign or old is not there, so that the record is read again; an index
that cannot be read or written is as an empty one, and deleting it costs time only
(`promptbench.storage.database`).
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import sqlite3
import stat
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePath
from typing import NamedTuple

from promptbench.mixing.outlines import Own, parted
from promptbench.records import Record, subset
from promptbench.storage import integrity
from promptbench.storage.database import Database, Tell, warn
from promptbench.storage.remembered import version_of_code

_FILE = "outlines.sqlite"
_TABLES = (
    "outlines (path TEXT PRIMARY KEY, files TEXT, kind TEXT, own TEXT, seal TEXT)",
    "kinds (digest TEXT PRIMARY KEY, text TEXT)",
)
_MOST = 100_000  # records; those that were read the longest ago go first
_BATCH = 500  # records between two transactions, which other processes wait for
_SETTLED = 2 * 10**9  # nanoseconds after which no file system gives a changed file the same times


_Row = tuple[str, ...]


class Indexed(NamedTuple):
    """What is known of a record: its outline in parts (`outlines.parted`), and whether its counts
    were compared with all of its predictions."""

    kind: str
    own: Own
    counted: bool


class State(NamedTuple):
    """Which file a record's is, and since when it is known to be that one, in nanoseconds."""

    file: str
    since: float


class Index:
    """Outlines on disk, at `path` where that is possible; `tell` hears of a file that is not
    used."""

    def __init__(self, path: Path, tell: Tell = warn) -> None:
        self.path = path
        self._new: list[tuple[str, str, str, str, str]] = []
        self._expected: dict[str, _Row | None] = {}
        self._kinds: dict[str, str] = {}  # texts by digest, as far as they were asked for
        self._store = Database(path, _TABLES, tell)

    def expect(self, paths: Sequence[Path]) -> None:
        """Read at once what is held of these records, a few hundred at most, before `get` is asked
        for each: a tenth of the time of asking the database as often."""
        self._expected = dict.fromkeys(map(_key, paths))
        some = ", ".join("?" * len(self._expected))
        query = f"SELECT path, files, kind, own, seal FROM outlines WHERE path IN ({some})"
        self._expected |= {row[0]: row for row in self._rows(query, *self._expected)}

    def get(self, path: Path) -> Indexed | None:
        """What is known of the record whose file has this path; None where it, or a file beside it,
        is another one than it was."""
        key = _key(path)
        if key not in self._expected:
            self.expect([path])
        found = self._expected.pop(key)
        if found is None or found[4] != _seal(*found[:4]):
            return None
        _, files, digest, own, _ = found
        names = files.split("\n")[::2]
        if _files(path.parent, names) != files or (kind := self._kind(digest)) is None:
            return None
        counted, values = json.loads(own)
        return Indexed(kind, values, counted)

    def knows(self, path: Path) -> bool:
        """Whether the record whose file has this path is known."""
        return self.get(path) is not None

    def put(self, path: Path, before: State, found: Indexed) -> None:
        """Keep what was found of a record, whose file was in this state before it was read."""
        files = _files(path.parent, _names(path.name, found.kind), before.since)
        if files is None or files.split("\n")[1] != before.file:
            return
        digest = hashlib.sha256(found.kind.encode()).hexdigest()
        self._kinds[digest] = found.kind
        row = (_key(path), files, digest, json.dumps([found.counted, found.own]))
        self._new.append((*row, _seal(*row)))
        if len(self._new) >= _BATCH:
            self.flush()

    def flush(self) -> None:
        """Write what is not on disk yet; what cannot be written is forgotten."""
        rows, self._new = self._new, []
        if not rows:
            return
        kinds = {row[2]: self._kinds[row[2]] for row in rows}

        def put(store: sqlite3.Connection) -> None:
            store.executemany("INSERT OR REPLACE INTO outlines VALUES (?, ?, ?, ?, ?)", rows)
            store.executemany("INSERT OR REPLACE INTO kinds VALUES (?, ?)", kinds.items())
            oldest = "DELETE FROM outlines WHERE rowid <= (SELECT MAX(rowid) FROM outlines) - ?"
            store.execute(oldest, (_MOST,))

        self._store.write(put)

    def tidy(self) -> None:
        """Remove kinds of which no record is there any more."""
        unused = "DELETE FROM kinds WHERE digest NOT IN (SELECT kind FROM outlines)"
        self._store.write(lambda store: store.execute(unused))

    def close(self) -> None:
        """Write what is not on disk yet, and close the file."""
        self.flush()
        self._store.close()

    def _kind(self, digest: str) -> str | None:
        if digest not in self._kinds:
            for (text,) in self._rows("SELECT text FROM kinds WHERE digest = ?", digest):
                if hashlib.sha256(text.encode()).hexdigest() == digest:
                    self._kinds[digest] = text
        return self._kinds.get(digest)

    def _rows(self, query: str, *keys: str) -> list[_Row]:
        rows = self._store.rows(query, keys)
        return [row for row in rows if all(isinstance(value, str) for value in row)]


@contextmanager
def opened(cache: Path, tell: Tell = warn) -> Iterator[Index]:
    """Give the block the index in the folder `cache`; `tell` as in `Index`."""
    found = Index(cache / _FILE, tell)
    try:
        yield found
    finally:
        found.flush()
        found.tidy()
        found.close()


def indexed(record: Record, counted: bool) -> Indexed:
    """What an index holds of a record; `counted`: its counts follow from all of its predictions."""
    return Indexed(*parted(record), counted)


def state_of(path: Path) -> State:
    """Look at the file of a record that is about to be read."""
    now = time.time_ns()
    files = _files(path.parent, [path.name])
    return State("" if files is None else files.split("\n")[1], now)


@functools.lru_cache(maxsize=2**8)  # the records of a row, which lie together, are of one kind
def _names(record: str, kind: str) -> list[str]:
    """The names, below its folder, of all that an outline of a record was found from."""
    predictions = [target["predictions"] for target in json.loads(kind)["targets"]]
    above = [str(place) for name in predictions for place in PurePath(name).parents]
    return list(dict.fromkeys([record, integrity.SUMS, subset.FILE, *predictions, *above]))


def _files(folder: Path, names: Sequence[str], since: float | None = None) -> str | None:
    """The files and folders of these names as one text: size, times and inode of each. None where a
    change would not show in it.

    A change of content moves a file's time of change, which nothing but a clock can set back. It
    need not move for files that were changed just before `since`, and again within one tick of it;
    links may come to lead elsewhere; and Windows has no such time.
    """
    base, lines, latest = str(folder), [], 0
    for name in names:
        lines.append(name)
        try:
            own = os.lstat(f"{base}/{name}")
        except (OSError, ValueError):
            lines.append("-")
            continue
        about: tuple[int, ...] = (own.st_mode, own.st_ino, own.st_dev)
        if stat.S_ISREG(own.st_mode):
            latest = max(latest, own.st_ctime_ns, own.st_mtime_ns)
            about += (own.st_size, own.st_mtime_ns, own.st_ctime_ns)
        elif not stat.S_ISDIR(own.st_mode):
            return None
        lines.append(" ".join(map(str, about)))
    unclear = os.name != "posix" or (since is not None and latest > since - _SETTLED)
    odd = any("\n" in name or ".." in name.split("/") for name in names)
    return None if unclear or odd else "\n".join(lines)


def _key(path: Path) -> str:
    """Where a file lies, as text that any database takes."""
    place = os.path.abspath(path)  # noqa: PTH100 - links are looked at as they are
    return os.fsencode(place).decode(errors="backslashreplace")


def _seal(*values: str) -> str:
    return hashlib.sha256("\0".join([version_of_code(), *values]).encode()).hexdigest()[:16]
