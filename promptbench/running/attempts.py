"""Attempts at a cell, counted in its folder: a cell that kills whoever computes it is left alone.

Each attempt has a file there from its beginning to its end, in order or by an error or a signal. A
file that is left is of a worker that died, wherever it was. Where two have died and the cell has
come no further, the third attempt is not made. An attempt that came further starts the count again,
so that workers that are killed from outside do not make a cell fail.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from promptbench.errors import UserError
from promptbench.planning.cells import Cell
from promptbench.storage.leases.holder import Holder

DEATHS = 2  # before a cell that came no further is left alone
_NAME = "attempt-{}.json"


class Deadly(UserError):
    """Two workers have died on a cell."""


@dataclass(frozen=True)
class Attempt:
    """An attempt that has begun and not ended in order, `reached` when it began."""

    path: Path
    reached: str
    who: str


@contextmanager
def counted(cell: Cell, out: Path) -> Iterator[None]:
    """Count the block, which computes a cell, as an attempt; the cell's lease must be held.

    Raises:
        Deadly: the last two ended with their processes, at the same place.
        OSError: the cell's folder cannot be written.
    """
    folder, came = cell.folder(out), reached(cell, out)
    died = []
    for attempt in _left(folder):
        if attempt.reached == came:
            died.append(attempt)
        else:
            attempt.path.unlink(missing_ok=True)
    if len(died) >= DEATHS:
        forget(folder)
        raise Deadly(
            f"the last {len(died)} attempts ended with their processes ("
            f"{'; '.join(attempt.who for attempt in died)}) and came no further, perhaps for lack "
            "of memory"
        )
    me = Holder.of_this_process()
    own = folder / _NAME.format(me.claim[:12])
    folder.mkdir(parents=True, exist_ok=True)
    try:
        # Not flushed to the disk, which would take longer than all else: a machine that loses its
        # power counts no attempt.
        own.write_bytes(json.dumps({"reached": came, "who": str(me)}).encode())
        yield
    finally:
        own.unlink(missing_ok=True)


def forget(folder: Path) -> None:
    """Count from the beginning again, in a cell's folder."""
    for path in folder.glob(_NAME.format("*")):
        path.unlink(missing_ok=True)


def reached(cell: Cell, out: Path) -> str:
    """How far a cell has come: a hash of the names, sizes and times of what is finished of it.

    Its checkpoint, its training and its predictions are.
    """
    places = [
        *cell.training_folder(out).glob("[!.]*"),
        *(cell.folder(out) / "predictions").glob("[!.]*"),
    ]
    facts = []
    for path in sorted(places):
        try:
            about = path.stat()
        except FileNotFoundError:  # another process trains
            continue
        facts.append([path.name, about.st_size, about.st_mtime_ns])
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def _left(folder: Path) -> Iterator[Attempt]:
    for path in sorted(folder.glob(_NAME.format("*"))):
        try:
            found: dict[str, Any] = json.loads(path.read_bytes())
            yield Attempt(path, str(found["reached"]), str(found["who"]))
        except (OSError, ValueError, TypeError, KeyError):
            path.unlink(missing_ok=True)  # not one of ours
