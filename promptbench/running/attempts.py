"""Attempts at a cell, counted in its folder: a cell that kills whoever computes it is left alone.

Each attempt has a file there from its beginning to its end, in order or by an error or a signal. A
file that is left is of a worker that died, wherever it was, or whose time was over before anything
could be saved, although most of it went to this cell. Where two attempts have ended so and the cell
has come no further, the third is not made. An attempt that came further starts the count again, so
that workers that are killed from outside do not make a cell fail.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from promptbench.errors import UserError
from promptbench.planning.cells import Cell
from promptbench.records.predictions import FOLDER
from promptbench.running.executor import Limit
from promptbench.storage.leases.holder import Holder
from promptbench.support import stopping

DEATHS = 2  # or ends of time, before a cell that came no further is left alone
_NAME = "attempt-{}.json"


class Deadly(UserError):
    """Two workers have died on a cell, or their time did not suffice for it."""


@dataclass(frozen=True)
class Attempt:
    """An attempt that has begun and not ended in order.

    Args:
        path: its file.
        reached: how far the cell had come when it began.
        who: the worker.
        seconds: until its worker's time was over; None if the worker died.
    """

    path: Path
    reached: str
    who: str
    seconds: float | None

    def __str__(self) -> str:
        if self.seconds is None:
            return f"{self.who}: it died"
        return f"{self.who}: {_said(self.seconds)}"


@contextmanager
def counted(cell: Cell, out: Path, limit: Limit) -> Iterator[None]:
    """Count the block, which computes a cell, as an attempt; the cell's lease must be held.

    Args:
        limit: says whether a stop comes of the end of this worker's time.

    Raises:
        Deadly: the last two ended with their processes or their time, at the same place.
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
        raise Deadly(_why(died))
    me = Holder.of_this_process()
    own = folder / _NAME.format(me.claim[:12])
    folder.mkdir(parents=True, exist_ok=True)
    facts, began, ended = {"reached": came, "who": str(me)}, limit.now(), True
    try:
        # Not flushed to the disk, which would take longer than all else: a machine that loses its
        # power counts no attempt.
        own.write_bytes(json.dumps(facts).encode())
        yield
    except BaseException as error:
        stop = stopping.behind(error)
        if stop is not None and limit.cut_off(began, stop):
            ended = False
            with suppress(OSError):  # the stop goes first; half a file counts for nothing
                own.write_bytes(json.dumps(facts | {"seconds": limit.now() - began}).encode())
        raise
    finally:
        if ended:
            own.unlink(missing_ok=True)


def forget(folder: Path) -> None:
    """Count from the beginning again, in a cell's folder."""
    for path in folder.glob(_NAME.format("*")):
        path.unlink(missing_ok=True)


def reached(cell: Cell, out: Path) -> str:
    """How far a cell has come: a hash of what an attempt can go on from.

    That is its checkpoint and its training, whose files change as it goes on. Targets are predicted
    from the first one again, so that of predictions only further ones count, not newer.
    """
    facts: list[object] = []
    for path in sorted(cell.training_folder(out).glob("[!.]*")):
        try:
            about = path.stat()
        except FileNotFoundError:  # another process trains
            continue
        facts.append([path.name, about.st_size, about.st_mtime_ns])
    facts += sorted(path.name for path in (cell.folder(out) / FOLDER).glob("[!.]*"))
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def _why(left: Sequence[Attempt]) -> str:
    """The sentence for a cell that is left alone."""
    if all(attempt.seconds is None for attempt in left):
        who = "; ".join(attempt.who for attempt in left)
        return (
            f"the last {len(left)} attempts ended with their processes ({who}) and came no "
            "further, perhaps for lack of memory"
        )
    who = "; ".join(str(attempt) for attempt in left)
    return (
        f"the last {len(left)} attempts came no further before the time of their workers was over "
        f"({who}): what this cell does without a snapshot does not fit into a worker's time; give "
        "workers more time, then --retry-failed"
    )


def _said(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


def _left(folder: Path) -> Iterator[Attempt]:
    for path in sorted(folder.glob(_NAME.format("*"))):
        try:
            found: dict[str, Any] = json.loads(path.read_bytes())
            facts = str(found["reached"]), str(found["who"])
            yield Attempt(path, *facts, float(found["seconds"]) if "seconds" in found else None)
        except (OSError, ValueError, TypeError, KeyError):
            path.unlink(missing_ok=True)  # not one of ours
