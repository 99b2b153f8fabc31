"""Replacing a folder as a whole: whatever is killed when, the old one or the new one is there.

The new folder is made beside the place that it takes, and two renames exchange them. What a killed
process has left is put back or removed by the next one; names say which process made them.
"""

from __future__ import annotations

import os
import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from promptbench.support import processes

_NEW, _OLD = ".new", ".old"
_DAY = 24 * 3600.0


@contextmanager
def replaced(out: Path) -> Iterator[Path]:
    """Give the block an empty folder, which takes the place of `out` after it.

    Raises:
        OSError: it cannot be written; `out` is as it was.
    """
    out = out.resolve()
    out.parent.mkdir(parents=True, exist_ok=True)
    recover(out)
    own = f"{_prefix(out)}{_host()}-{os.getpid()}"
    made, old = out.with_name(own + _NEW), out.with_name(own + _OLD)
    made.mkdir()
    try:
        yield made
        if out.exists():
            out.rename(old)
        try:
            made.rename(out)
        except OSError:
            if old.exists() and not out.exists():
                old.rename(out)
            raise
    finally:
        for rest in (made, old):
            shutil.rmtree(rest, ignore_errors=True)


def recover(out: Path) -> None:
    """Put back what a killed process had moved away from `out`, and remove what else it left."""
    out = out.resolve()
    left = [path for path in sorted(_left(out)) if not path.is_symlink() and path.is_dir()]
    for path in left:
        if path.name.endswith(_OLD) and not out.exists():
            path.rename(out)
        else:
            shutil.rmtree(path)


def _left(out: Path) -> Iterator[Path]:
    """Folders that processes made for `out` which do not live any more."""
    for path in out.parent.iterdir():
        if path.name.startswith(_prefix(out)) and path.suffix in (_NEW, _OLD):
            host, _, process = path.stem.removeprefix(_prefix(out)).rpartition("-")
            if process.isdecimal() and not _lives(host, int(process), path):
                yield path


def _lives(host: str, process: int, path: Path) -> bool:
    """Whether a process may still be at work; on another machine, one of this day may."""
    if host != _host():
        return time.time() - path.stat().st_mtime < _DAY
    return processes.exists(process) and process != os.getpid()


def _prefix(out: Path) -> str:
    return f".site-{out.name}-"


def _host() -> str:
    return socket.gethostname().replace("/", "-")
