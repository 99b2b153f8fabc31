"""Recounting a record from its predictions: what anyone can check without a GPU."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
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
        correct, total = [0] * len(target.total), [0] * len(target.total)
        for line in csv.DictReader(io.StringIO(gzip.decompress(data).decode())):
            label = int(line["label"])
            total[label] += 1
            correct[label] += line["label"] == line["predicted"]
        if (correct, total) != (target.correct, target.total):
            raise UserError(
                f"{folder}: the counts of {target.key} do not follow from its predictions"
            )
