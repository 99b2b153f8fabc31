"""Recomputing a record from its predictions: what anyone can check without a GPU.

Records and predictions may come from strangers: files are read within limits, and never from
outside the record's folder.
"""

from __future__ import annotations

import csv
import functools
import hashlib
import os
import stat
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from promptbench.core.answers import Answers
from promptbench.errors import UserError
from promptbench.records import (
    PARAMETERS,
    RECORD,
    Record,
    TargetResult,
    predictions,
    tuning,
)
from promptbench.records.labels import Labels
from promptbench.records.predictions import Prediction, Table
from promptbench.storage import integrity, reading, remembered
from promptbench.storage.remembered import Remembered
from promptbench.support.safe_text import printable, shown_path

Found = TypeVar("Found")
_SMALL = 2**17  # of files whose tables are kept for the next question about the same bytes
_kept = functools.lru_cache(maxsize=16)(predictions.decoded)
MOST_BYTES = 32 * 2**20  # of a predictions file; a million rows take about fifteen


class DamagedPredictions(UserError):
    """Predictions that cannot be read, or are not those of their record; which, and in what."""


def check_files(record: Record, folder: Path) -> None:
    """Check the hashes of the files beside a record; learned parameters need not be there.

    Raises:
        UserError: a file that is missing, changed or cannot be read, and which.
    """
    if reading.is_file(folder / integrity.SUMS, "the hashes"):
        damage = integrity.damage(folder, RECORD)
        if damage is not None:
            raise UserError(f"{shown_path(folder)}: {damage}")
    learned, expected = folder / PARAMETERS, record.training.parameters_sha256
    if reading.is_file(learned, "the file") and integrity.hash_of(learned) != expected:
        raise UserError(
            f"{shown_path(learned)} is not the file that the record was made with (sha256 differs)"
        )


def are_counted(
    record: Record, folder: Path, memory: Remembered | None = None, digest: str | None = None
) -> bool:
    """Compare a record with the labels in those of its predictions that are there; whether all
    are. What else stands in these, such as probabilities, is not looked at.

    Args:
        record: which says the hashes of its predictions.
        folder: where they lie.
        memory: records, by the SHA-256 `digest` of their file, whose counts are known to follow
            from predictions with these hashes.
        digest: of the record's file; without it nothing is known.

    Raises:
        UserError: as `recompute`; not for predictions that are absent.
    """
    there = [t for t in record.targets if are_there(t, folder)]
    for target in there:
        _once("labels", check_labels, target, folder, memory, digest)
    return len(there) == len(record.targets)


def recompute(
    record: Record, folder: Path, memory: Remembered | None = None, digest: str | None = None
) -> None:
    """Compare a record with the prediction files that lie beside it; as `are_counted`, but all of
    them must be there, and whole tables of predictions.

    Raises:
        UserError: a missing or changed file, counts that its predictions do not give, or a choice
            that its trials do not give.
    """
    wrong = tuning.problem(record.preset, record.tuning)
    if wrong is not None:
        raise UserError(f"{shown_path(folder)}: {wrong}")
    for target in record.targets:
        _once("table", recompute_target, target, folder, memory, digest)


def _once(
    what: str,
    compare: Callable[[TargetResult, Path], object],
    target: TargetResult,
    folder: Path,
    memory: Remembered | None,
    digest: str | None,
) -> None:
    """Compare a target with what is in its predictions, unless files with the same bytes were
    before."""
    if memory is None or digest is None:
        compare(target, folder)
        return
    key = remembered.key_of("counts", what, digest, target.key)
    if memory.get(key) is None or hash_of(target, folder) != target.predictions_sha256:
        compare(target, folder)
        memory.put(key, "follow")


def hash_of(target: TargetResult, folder: Path) -> str | None:
    """The SHA-256 of a target's predictions as they lie there; None where they do not.

    Raises:
        UserError: as `predictions_path`, or a file that is none or too large.
    """
    path = predictions_path(target, folder)
    if not os.path.exists(path):  # noqa: PTH110 - Path's own raises for a name that is too long
        return None
    return hashlib.sha256(reading.read_bytes(path, MOST_BYTES, "the predictions")).hexdigest()


def recompute_target(target: TargetResult, folder: Path) -> Table:
    """The predictions of one target, once they are found to give its counts.

    Raises:
        UserError: as `recompute`.
    """
    table = read_table(target, folder)
    _compare(target, table.labels, folder)
    return table


def check_labels(target: TargetResult, folder: Path) -> None:
    """Compare a target's counts with the labels in its predictions.

    Raises:
        UserError: as `recompute`; not for what else stands in its predictions.
    """
    _compare(target, _read(predictions.labels, target, folder), folder)


def _compare(target: TargetResult, labels: Labels, folder: Path) -> None:
    correct, total = labels.counts(len(target.total))
    if (correct, total) != (target.correct, target.total):
        counted = f"{sum(correct)} of {sum(total)} correct"
        claimed = f"{sum(target.correct)} of {sum(target.total)}"
        raise UserError(
            f"{shown_path(folder)}: the counts of {target.key} do not follow from its predictions "
            f"(they give {counted} in all, the record says {claimed}; every class is compared)"
        )
    if target.confusions not in (None, labels.confusions(len(total))):
        raise UserError(
            f"{shown_path(folder)}: the confusions of {target.key} do not follow from its "
            "predictions"
        )


def are_there(target: TargetResult, folder: Path) -> bool:
    """Whether anything lies in the record's folder where a target's predictions do; what is not a
    file is found out by whoever reads it.

    Raises:
        UserError: as `predictions_path`.
    """
    return reading.exists(predictions_path(target, folder))


def predictions_path(target: TargetResult, folder: Path) -> Path:
    """Where a target's predictions lie.

    Raises:
        UserError: a path that leaves the record's folder, or whose folder cannot be read.
    """
    path = folder / target.predictions
    try:
        inside = _is_plain(target.predictions, folder) or _leads_inside(path, folder)
    except PermissionError as error:
        raise reading.unreadable(path, "the predictions", error) from error
    except (OSError, ValueError, RuntimeError):  # too long, a NUL, a loop of links
        inside = False
    if not inside:
        raise UserError(
            f"{shown_path(folder)}: the predictions of {target.key}, {target.predictions!r}, lie "
            "outside the record's folder"
        )
    return path


def _is_plain(name: str, folder: Path) -> bool:
    """Whether a name leads downwards from a folder, and over no link: then it stays inside, which
    is found faster than by resolving both.

    Raises:
        OSError: a name that is too long.
        ValueError: a NUL.
    """
    parts = name.split("/")
    if {"", ".", ".."} & set(parts) or os.sep != "/":
        return False
    step = str(folder)
    try:
        for part in parts:
            step = f"{step}/{part}"
            if stat.S_ISLNK(os.lstat(step).st_mode):
                return False
    except (FileNotFoundError, NotADirectoryError):
        return False  # the longer way says what is missing
    return True


def _leads_inside(path: Path, folder: Path) -> bool:
    """Whether a path that may lead over links stays inside a folder.

    Raises:
        OSError: what it leads to cannot be seen.
        RuntimeError: a loop of links.
        ValueError: a NUL.
    """
    if path == folder or not path.resolve().is_relative_to(folder.resolve()):
        return False
    with suppress(FileNotFoundError, NotADirectoryError):
        path.stat()
    return True


def read_predictions(target: TargetResult, folder: Path) -> list[Prediction]:
    """The labels in a target's predictions file, row by row.

    Raises:
        UserError: as `read_table`.
    """
    return read_table(target, folder).rows()


def read_answers(target: TargetResult, folder: Path) -> Answers:
    """What metrics read of a target's predictions file.

    Raises:
        UserError: as `read_table`.
    """
    return read_table(target, folder).answers(len(target.total), target.learned)


def read_table(target: TargetResult, folder: Path) -> Table:
    """A target's predictions file, which must be the one the record was made from.

    Raises:
        DamagedPredictions: a file that is changed, too large or not a table of predictions.
        UserError: a file that is missing, or lies elsewhere.
    """
    return _read(_decoded, target, folder)


def _decoded(data: bytes, *given: Any, **more: Any) -> Table:
    return (_kept if len(data) <= _SMALL else predictions.decoded)(data, *given, **more)


def _read(decode: Callable[..., Found], target: TargetResult, folder: Path) -> Found:
    """What is to be read of a target's predictions file, as `read_table`."""
    path = predictions_path(target, folder)
    if not os.path.exists(path):  # noqa: PTH110 - Path's own raises for a name that is too long
        raise UserError(
            f"{shown_path(folder)}: the predictions {printable(target.predictions)} are missing"
        )
    data = _bytes_of(path, target)
    learned = None if target.learned is None else tuple(target.learned)
    try:
        return decode(data, len(target.total), learned, labels_only=target.labels_only)
    except (OSError, EOFError, zlib.error) as error:
        raise DamagedPredictions(f"{shown_path(path)} cannot be unpacked: {error}") from error
    except (ValueError, csv.Error) as error:
        raise DamagedPredictions(
            f"{shown_path(path)} is not a table of predictions: {error}"
        ) from error


def _bytes_of(path: Path, target: TargetResult) -> bytes:
    try:
        data = reading.read_bytes(path, MOST_BYTES, "the predictions")
    except UserError as error:
        raise DamagedPredictions(str(error)) from error
    if hashlib.sha256(data).hexdigest() != target.predictions_sha256:
        raise DamagedPredictions(
            f"{shown_path(path)} is not the file that the record was made from (sha256 differs)"
        )
    return data
