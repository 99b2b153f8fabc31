"""Which cell is meant: from a record, its folder, or a folder of runs to the one record in it."""

from __future__ import annotations

from pathlib import Path

from promptbench import records
from promptbench.core.selection import USUAL
from promptbench.errors import UserError
from promptbench.storage import reading
from promptbench.support.prose import counted
from promptbench.support.safe_text import printable, shown_path

_LOG = "failed.log"  # see running.failures
_SHOWN = 12  # cells in a list to choose from


def record_at(place: Path) -> Path:
    """The file of the record that `place` stands for.

    Args:
        place: a record, the folder of a cell, or a folder with one cell below it.

    Raises:
        UserError: nothing is there, no cell in it is finished, or there are several, which the
            message lists.
    """
    if not reading.exists(place):
        raise UserError(f"{place} does not exist; name a run's folder or a record.json")
    if not place.is_dir():
        return place
    if reading.is_file(place / records.RECORD, "the record"):
        return place / records.RECORD
    found = records.find([place])
    if not found:
        raise UserError(_why_none(place))
    if len(found) == 1:
        return found[0]
    listed = [f"  {shown_path(path.parent)}{_selected(path)}" for path in found[:_SHOWN]]
    if len(found) > _SHOWN:
        listed.append(f"  ... and {len(found) - _SHOWN} more")
    many = counted(len(found), "finished cell")
    raise UserError("\n".join([f"{shown_path(place)} holds {many}; name one of them:", *listed]))


def _selected(path: Path) -> str:
    """What tells a cell from another of the same training, whose folder differs by its id only."""
    try:
        rule = records.read(path).protocol.selection
    except UserError:  # which is said when it is named
        return ""
    return "" if rule == USUAL else f" ({printable(rule)})"


def _why_none(place: Path) -> str:
    """What a folder without a record is."""
    logs = sorted(place.glob(f"**/{_LOG}"))
    if logs:
        lines = logs[0].read_text(encoding="utf-8", errors="replace").splitlines()
        reason = f": {lines[0]}" if lines and lines[0] else ""
        return (
            f"{shown_path(place)} has no finished cell; {shown_path(logs[0].parent.name)} failed"
            f"{reason} (fix that and run the same command with --retry-failed)"
        )
    return (
        f"{shown_path(place)} has no finished cell: there is no {records.RECORD} in it; "
        "give the command of the run again, which goes on where it stopped"
    )
