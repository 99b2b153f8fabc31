"""Where accepted records lie, each cell in one place, and copying them there."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from promptbench import records as store
from promptbench.leaderboard.checking import cells
from promptbench.leaderboard.checking.verdicts import Verdict
from promptbench.records import Record, once


@once
def place_of(record: Record) -> Path:
    """Where an accepted record lies under the results folder."""
    source = record.source
    cell = f"{source.dataset}-{source.shots}shot-seed{record.seed}-{record.cell_id[:10]}"
    return Path(record.suite, record.protocol.name, record.method.name, cell)


def copy(verdicts: Sequence[Verdict], results: Path) -> None:
    """Copy accepted records, with the predictions beside them, to their places under `results`.

    Nothing is copied if one of them would replace other numbers, there or of another verdict: of
    the same cell, whatever its id.

    Raises:
        UserError: two records of one cell with different numbers; both files are named.
        OSError: the folder cannot be written.
    """
    there = [(path, store.read(path)) for path in store.find([results])] if results.exists() else []
    own = [(verdict.path, verdict.record) for verdict in verdicts if verdict.record is not None]
    cells.refuse_other_numbers([*there, *own])
    for path, record in own:
        _copy(path, record, results / place_of(record))


def _copy(path: Path, record: Record, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    store.copy(path, folder)
    for target in record.targets:
        file = path.parent / target.predictions
        if file.is_file():
            copied = folder / target.predictions
            copied.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, copied)
