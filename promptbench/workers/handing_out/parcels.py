"""Parcels: the files of cells and trainings as bytes, for machines that share no folder.

A parcel maps paths relative to an output folder to their bytes, in the order in which they are to
be written: what marks a cell or a training as finished comes last.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath

from pydantic import ValidationError

from promptbench import records
from promptbench.planning.cells import Cell
from promptbench.records import Record, subset
from promptbench.running import failures
from promptbench.running.training.folder import CHECKPOINT, files_of, is_trained
from promptbench.storage import integrity
from promptbench.storage.files import write_whole

Sums = Mapping[str, str]  # the SHA-256 of each file, by the names of its parcel
Parcel = Mapping[str, bytes]


class Spoiled(ValueError):
    """A parcel that does not hold what it should; nothing of it was written."""


def sums_of(paths: Iterable[Path], out: Path) -> dict[str, str]:
    """Names and hashes of files below an output folder, in order."""
    found = {}
    for path in paths:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        found[path.relative_to(out).as_posix()] = digest
    return found


def files_of_cell(cell: Cell, out: Path) -> list[Path]:
    """The files of a cell that has ended: its record's last, or the log of its failure."""
    folder = cell.folder(out)
    if not cell.is_done(out):
        return [failures.log_of(cell, out)]
    beside = [name for name in integrity.listed(folder) if name != records.RECORD]
    return [folder / name for name in (*beside, integrity.SUMS, records.RECORD)]


def files_of_training(cell: Cell, out: Path) -> list[Path]:
    """The files of a cell's training, finished or under way."""
    return files_of(cell, out)


def read(sums: Sums, out: Path) -> dict[str, bytes]:
    """The parcel of the files that `sums` names."""
    return {name: (out / name).read_bytes() for name in sums}


def store(cell: Cell, parcel: Parcel, sums: Sums, out: Path) -> None:
    """Write a parcel of a cell, of its training or of both, below another output folder.

    What is finished of a training there stays as it is.

    Raises:
        Spoiled: files that are missing, changed or lie elsewhere; a record of another cell.
        OutputError: the folder cannot be written.
    """
    if list(parcel) != list(sums):
        raise Spoiled(f"{len(parcel)} files came, of {len(sums)}")
    for name, data in parcel.items():
        if hashlib.sha256(data).hexdigest() != sums[name]:
            raise Spoiled(f"{name} is not as it was sent (sha256 differs)")
    own, training = (place(Path()).as_posix() for place in (cell.folder, cell.training_folder))
    of_cell = {name: data for name, data in parcel.items() if _is_below(name, own)}
    of_training = {name: data for name, data in parcel.items() if _is_below(name, training)}
    if others := parcel.keys() - of_cell.keys() - of_training.keys():
        raise Spoiled(f"{min(others)} belongs to another cell")
    _check_record(cell, of_cell, own)
    written = _unfinished(cell, of_training, out)
    for name, data in {**written, **of_cell}.items():
        write_whole(out / name, data)


def _unfinished(cell: Cell, of_training: Parcel, out: Path) -> Parcel:
    """The files of a training without those of selection rules that have chosen there already."""
    each = [replace(cell, selection=rule) for rule in cell.rules or (cell.selection,)]
    kept = {c.outcome_folder(Path()).as_posix() for c in each if is_trained(c, out)}
    if len(kept) == len(each):
        return {}
    checkpoint = (cell.training_folder(Path()) / CHECKPOINT).as_posix()
    return {
        name: data
        for name, data in of_training.items()
        if name == checkpoint or PurePosixPath(name).parent.as_posix() not in kept
    }


def _is_below(name: str, folder: str) -> bool:
    path = PurePosixPath(name)
    return ".." not in path.parts and path.is_relative_to(folder)


def _check_record(cell: Cell, files: Parcel, folder: str) -> None:
    """Refuse a record that is not the cell's, not last, or without the files that it names."""
    name = f"{folder}/{records.RECORD}"
    if name not in files:
        return
    try:
        record = Record.model_validate_json(files[name])
    except ValidationError as error:
        raise Spoiled(f"{name} is not a record") from error
    if record.cell_id != cell.id:
        raise Spoiled(f"{name} is the record of another cell")
    needed = {f"{folder}/{target.predictions}" for target in record.targets}
    if record.training.parameters_sha256 is not None:
        needed.add(f"{folder}/{records.PARAMETERS}")
    if record.source.keys_sha256 is not None:
        needed.add(f"{folder}/{subset.FILE}")
    missing = {*needed, f"{folder}/{integrity.SUMS}"} - files.keys()
    if missing or list(files)[-1] != name:
        raise Spoiled(f"{min(missing, default=name)} is missing or not where it should be")
