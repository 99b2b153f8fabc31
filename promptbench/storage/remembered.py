"""What was verified once, kept in the user's cache, so that it is not verified again.

Keys hash everything that an answer depends on: the bytes of the files, which are read and hashed
each time, and the code that answers (`version_of_code`). Neither names nor time stamps are trusted:
a file that was changed under its old time stamp has another key. What is kept can therefore only
save time. A store that is damaged, foreign, locked or cannot be written is as one that holds
nothing; deleting it costs the time to verify everything once more.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import json
import os
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from promptbench.support import version
from promptbench.support.crew import Crew

_ONLY_THIS = Crew()  # no process beside the one that asks
_FILE = "verified.sqlite"
_TABLE = "CREATE TABLE IF NOT EXISTS facts (key TEXT PRIMARY KEY, value TEXT, seal TEXT)"
_MOST = 500_000  # facts; the oldest go first
_BATCH = 500  # facts between two transactions, which other processes wait for
_WAIT = 2.0  # seconds that a write waits for another process, before it is left out
_SOURCES = (".py", ".gin", ".toml", ".json", ".csv")
_PLUGINS = ("methods", "protocols", "data_cards", "leaderboard")
_PACKAGES = ("numpy", "open_clip_torch", "pydantic", "torch")


class Remembered:
    """Facts by keys, on disk at `path` where that is possible.

    `kept` counts what was found out since it was opened. `beside` are the processes that may find
    facts beside this one (`promptbench.storage.ahead`).
    """

    def __init__(self, path: Path, beside: Crew = _ONLY_THIS) -> None:
        self.path, self.beside, self.kept = path, beside, 0
        self._new: dict[str, str] = {}
        self._store: sqlite3.Connection | None = None
        with suppress(sqlite3.Error, OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._store = sqlite3.connect(path, timeout=_WAIT, isolation_level=None)
            self._store.execute(_TABLE)

    def get(self, key: str) -> str | None:
        """The fact of a key; None where there is none, or where it is damaged."""
        if key in self._new:
            return self._new[key]
        found = None
        with suppress(sqlite3.Error):
            if self._store is not None:
                query = "SELECT value, seal FROM facts WHERE key = ?"
                found = self._store.execute(query, (key,)).fetchone()
        if found is None or found[1] != _seal(key, found[0]):
            return None
        return str(found[0])

    def put(self, key: str, value: str) -> None:
        """Keep a fact, on disk with the next ones."""
        self._new[key] = value
        self.kept += 1
        if len(self._new) >= _BATCH:
            self.flush()

    def flush(self) -> bool:
        """Write what is not on disk yet; what cannot be written is forgotten. Whether all was."""
        rows = [(key, value, _seal(key, value)) for key, value in self._new.items()]
        self._new.clear()
        if self._store is None:
            return False
        if not rows:
            return True
        try:
            with written(self._store):
                self._store.executemany("INSERT OR REPLACE INTO facts VALUES (?, ?, ?)", rows)
                self._store.execute(
                    "DELETE FROM facts WHERE rowid <= (SELECT MAX(rowid) FROM facts) - ?", (_MOST,)
                )
        except sqlite3.Error:
            return False
        return True

    def close(self) -> None:
        """Write what is not on disk yet, and close the file."""
        self.flush()
        if self._store is not None:
            self._store.close()


@contextmanager
def written(store: sqlite3.Connection) -> Iterator[None]:
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


@contextmanager
def opened(cache: Path, again: bool = False, beside: Crew = _ONLY_THIS) -> Iterator[Remembered]:
    """Give the block what is remembered in the folder `cache`; nothing, if all is to be verified
    `again` (what is found out then is kept as usual, and by this process only). `beside` are the
    processes that may find facts beside this one."""
    path = cache / _FILE
    found = _Forgetful(path) if again else Remembered(path, beside)
    try:
        yield found
    finally:
        found.close()


class _Forgetful(Remembered):
    def get(self, key: str) -> str | None:
        return None


def _seal(key: str, value: Any) -> str:
    return hashlib.sha256(f"{key} {value}".encode()).hexdigest()[:16]


def key_of(what: str, *facts: Any) -> str:
    """The key of a kind of answer on facts that JSON can hold, as this code answers."""
    text = json.dumps([what, version_of_code(), *facts], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


@functools.cache
def version_of_code() -> str:
    """A hash of all that promptbench consists of, and of the packages that its numbers hang on."""
    own = version.PACKAGE
    beside = own.parent if (own.parent / "pyproject.toml").is_file() else own  # in a checkout
    folders = [own, *(beside / name for name in _PLUGINS)]
    files = {file for folder in folders for file in _sources(folder)}
    found = hashlib.sha256(f"{sys.version} {[_version(name) for name in _PACKAGES]}".encode())
    for file in sorted(files):
        found.update(file.name.encode() + hashlib.sha256(file.read_bytes()).digest())
    return found.hexdigest()


def _sources(folder: Path) -> Iterator[Path]:
    for place, inner, files in os.walk(folder):
        inner[:] = [name for name in inner if name not in ("__pycache__", "results", "assets")]
        yield from (Path(place) / name for name in files if name.endswith(_SOURCES))


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""
