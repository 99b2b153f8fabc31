"""Cells that fail: each leaves a log, the others go on, and the run says so at its end."""

from __future__ import annotations

import traceback
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import ClassVar

from promptbench.errors import UserError, one_line
from promptbench.planning.cells import Cell
from promptbench.records import Record
from promptbench.running import attempts
from promptbench.storage.files import write_whole
from promptbench.support.prose import counted

DIVERGED = "training diverged"  # how the reason of such a failure begins
_LOG = "failed.log"


class CellsFailed(UserError):
    """Some cells failed; `records` are those of the cells that did not."""

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, records: Sequence[Record]) -> None:
        super().__init__(message)
        self.records = list(records)


def log_of(cell: Cell, out: Path) -> Path:
    """Where a cell that fails says why: the reason in the first line, then the traceback."""
    return cell.folder(out) / _LOG


def note(cell: Cell, out: Path, error: Exception) -> str:
    """Write the log of a cell that failed; returns the reason."""
    why = one_line(error)
    trace = "".join(traceback.format_exception(error))
    write(cell, out, why, trace)
    return why


def write(cell: Cell, out: Path, reason: str, details: str = "") -> None:
    """Write a cell's log, which ends the count of attempts."""
    text = f"{reason}\n\n{details}"
    write_whole(log_of(cell, out), text.encode(errors="replace"))
    attempts.forget(cell.folder(out))


def reason_of(cell: Cell, out: Path) -> str | None:
    """Why a cell failed; None if it did not."""
    path = log_of(cell, out)
    if not path.is_file():
        return None
    return path.read_text(encoding="utf-8", errors="replace").partition("\n")[0]


def has_diverged(cell: Cell, out: Path) -> bool:
    """Whether a cell failed because its training left the finite numbers, as its settings make it
    do wherever it is tried."""
    return (reason_of(cell, out) or "").startswith(DIVERGED)


def not_failed(cells: Iterable[Cell], out: Path) -> list[Cell]:
    """The cells that have not failed before."""
    return [cell for cell in cells if reason_of(cell, out) is None]


def forget(cells: Iterable[Cell], out: Path) -> None:
    """Drop the logs and the count of attempts, so that the cells are tried again."""
    for cell in cells:
        attempts.forget(cell.folder(out))
        log_of(cell, out).unlink(missing_ok=True)


def error_of(failed: Sequence[Cell], out: Path, found: Sequence[Record]) -> CellsFailed:
    """The error at the end of a run: every failed cell, its reason and its log."""
    lines = [
        f"{cell.label}: {reason_of(cell, out) or 'it has neither a record nor a log'}\n"
        f"  log: {log_of(cell, out)}"
        for cell in failed
    ]
    total = len(failed) + len(found)
    have = "has its record" if len(found) == 1 else "have their records"
    head = f"{len(failed)} of {counted(total, 'cell')} failed; {len(found)} {have}"
    foot = "fix the cause and run the same command with --retry-failed to try them again"
    return CellsFailed("\n".join([head, *lines, foot]), found)
