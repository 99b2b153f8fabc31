"""Where accepted records lie, each cell in one place, and copying them there."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

from promptbench.leaderboard.verdicts import Verdict

from promptbench import records as store
from promptbench.errors import UserError
from promptbench.records import RECORD, Record


def place_of(record: Record) -> Path:
    """Where an accepted record lies under the results folder."""
    source = record.source
    cell = f"{source.dataset}-{source.shots}shot-seed{record.seed}-{record.cell_id[:10]}"
    return Path(record.suite, record.protocol.name, record.method.name, cell)


def copy(verdicts: Sequence[Verdict], results: Path) -> None:
    """Copy accepted records, with the predictions beside them, to their places under `results`.

    Nothing is copied if one of them would replace other numbers, there or of another verdict.

    Raises:
        UserError: two records of one cell with different numbers; both files are named.
        OSError: the folder cannot be written.
    """
    placed = _placed(verdicts)
    for place, found in placed.items():
        there = results / place / RECORD
        before = [(there, store.read(there))] if there.is_file() else []
        _refuse_other_numbers([*before, *found])
    for place, found in placed.items():
        for path, record in found:
            _copy(path, record, results / place)


def _placed(verdicts: Iterable[Verdict]) -> dict[Path, list[tuple[Path, Record]]]:
    found: dict[Path, list[tuple[Path, Record]]] = {}
    for verdict in verdicts:
        assert verdict.record is not None, "only accepted records are copied"
        entry = (verdict.path, verdict.record)
        found.setdefault(place_of(verdict.record), []).append(entry)
    return found


def _refuse_other_numbers(found: Sequence[tuple[Path, Record]]) -> None:
    first, record = found[0]
    for path, other in found[1:]:
        if (other.cell_id, other.numbers_sha256) != (record.cell_id, record.numbers_sha256):
            raise UserError(
                f"two records of the cell {record.cell_id[:10]} have different numbers: {first} "
                f"and {path}; leave one of them out (promptbench reproduce tells which one holds)"
            )


def _copy(path: Path, record: Record, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, folder / RECORD)
    for target in record.targets:
        file = path.parent / target.predictions
        if file.is_file():
            copied = folder / target.predictions
            copied.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, copied)
