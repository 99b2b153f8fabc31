"""Recounting a record from its predictions: what anyone can check without a GPU."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import zlib
from pathlib import Path

from promptbench.errors import UserError
from promptbench.records import Record


def recount(record: Record, folder: Path) -> None:
    """Compare a record with the prediction files that lie beside it.

    Raises:
        UserError: a missing or changed file, or counts that its predictions do not give.
    """
    for target in record.targets:
        path = folder / target.predictions
        if not path.is_file():
            raise UserError(f"{folder}: the predictions {target.predictions} are missing")
        data = path.read_bytes()
        if hashlib.sha256(data).hexdigest() != target.predictions_sha256:
            raise UserError(
                f"{path} is not the file that the record was made from (sha256 differs)"
            )
        try:
            correct, total = _counted(data, len(target.total))
        except (OSError, EOFError, ValueError, zlib.error, csv.Error) as error:
            raise UserError(f"{path} is no gzipped table of predictions: {error}") from error
        if (correct, total) != (target.correct, target.total):
            raise UserError(
                f"{folder}: the counts of {target.key} do not follow from its predictions"
            )


def _counted(data: bytes, n_classes: int) -> tuple[list[int], list[int]]:
    """Correct and all predictions of each label."""
    correct, total = [0] * n_classes, [0] * n_classes
    for key, label, predicted in list(csv.reader(io.StringIO(gzip.decompress(data).decode())))[1:]:
        if not 0 <= int(label) < n_classes:
            raise ValueError(f"sample {key!r} has the label {label}")
        total[int(label)] += 1
        correct[int(label)] += int(label) == int(predicted)
    return correct, total
