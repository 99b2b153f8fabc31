"""What was verified once, kept in the user's cache, so that it is not verified again.

Keys hash everything that an answer depends on: the bytes of the files, which are read and hashed
each time, and the code that answers (`version_of_code`). Neither names nor time stamps are trusted:
a file that was changed under its old time stamp has another key. What is kept can therefore only
save time. A store that is damaged, foreign, locked or cannot be written is as one that holds
nothing (`database` says what becomes of it); deleting it costs the time to verify everything once
more.
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
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from promptbench.storage.database import Database, Tell, warn
from promptbench.support import version
from promptbench.support.crew import Crew

_ONLY_THIS = Crew()  # no process beside the one that asks
_FILE = "verified.sqlite"
_TABLE = "facts (key TEXT PRIMARY KEY, value TEXT, seal TEXT)"
_MOST = 500_000  # facts; the oldest go first
_BATCH = 500  # facts between two transactions, which other processes wait for
_SOURCES = (".py", ".gin", ".toml", ".json", ".csv")
_PLUGINS = ("methods", "protocols", "data_cards", "leaderboard")
_PACKAGES = ("numpy", "open_clip_torch", "pydantic", "torch")


class Remembered:
    """Facts by keys, on disk at `path` where that is possible.

    `kept` counts what was found out since it was opened. `beside` are the processes that may find
    facts beside this one (`promptbench.storage.ahead`). `tell` hears of a file that is not used.
    """

    def __init__(self, path: Path, beside: Crew = _ONLY_THIS, tell: Tell = warn) -> None:
        self.path, self.beside, self.kept = path, beside, 0
        self._new: dict[str, str] = {}
        self._store = Database(path, [_TABLE], tell)

    def get(self, key: str) -> str | None:
        """The fact of a key; None where there is none, or where it is damaged."""
        if key in self._new:
            return self._new[key]
        found = self._store.rows("SELECT value, seal FROM facts WHERE key = ?", (key,))
        if not found or found[0][1] != _seal(key, found[0][0]):
            return None
        return str(found[0][0])

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
        if not rows:
            return self._store.is_open

        def put(store: sqlite3.Connection) -> None:
            store.executemany("INSERT OR REPLACE INTO facts VALUES (?, ?, ?)", rows)
            oldest = "DELETE FROM facts WHERE rowid <= (SELECT MAX(rowid) FROM facts) - ?"
            store.execute(oldest, (_MOST,))

        return self._store.write(put)

    def close(self) -> None:
        """Write what is not on disk yet, and close the file."""
        self.flush()
        self._store.close()


@contextmanager
def opened(
    cache: Path, again: bool = False, beside: Crew = _ONLY_THIS, tell: Tell = warn
) -> Iterator[Remembered]:
    """Give the block what is remembered in the folder `cache`; nothing, if all is to be verified
    `again` (what is found out then is kept as usual, and by this process only). `beside` are the
    processes that may find facts beside this one, and `tell` hears of a file that is not used."""
    path = cache / _FILE
    found = _Forgetful(path, tell=tell) if again else Remembered(path, beside, tell)
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
