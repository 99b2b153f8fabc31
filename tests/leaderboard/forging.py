"""Forging records as a stranger could: copies that are changed, with hashes and ids that fit."""

from __future__ import annotations

import gzip
import hashlib
import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from promptbench.core.protocol import Leg, Source
from promptbench.errors import UserError
from promptbench.leaderboard.checking import settings_checks
from promptbench.records import Record
from promptbench.records.predictions import Table

Facts = dict[str, Any]
Rows = list[list[str]]  # as `promptbench.records.predictions` has them in schema 2
WRONG = ["0.6000", "0.0400", "1.6094", "1"]  # the label has a fifth
RIGHT = ["0.9000", "0.0100", "", "0"]


def forge(original: Path, folder: Path, *changes: Callable[[Facts, Path], Any]) -> Path:
    """Copy the folder of a record, apply `changes` to (record, copy), and redo ids and hashes."""
    shutil.copytree(original.parent, folder)
    (folder / "SHA256SUMS").unlink(missing_ok=True)
    facts = json.loads(original.read_text(encoding="utf-8"))
    for change in changes:
        change(facts, folder)
    facts["config_sha256"] = hashlib.sha256(facts["config"].encode()).hexdigest()
    _redo_ids(facts)
    path = folder / "record.json"
    path.write_text(json.dumps(facts), encoding="utf-8")
    return path


def _redo_ids(facts: Facts) -> None:
    """Ids that follow from the record, where the method is installed and the record can be read."""
    try:
        record = Record.model_validate_json(json.dumps(facts))
        source = Source(record.source.dataset, record.source.classes, record.source.shots)
        cell = settings_checks.described(record, Leg(source, ()))
        facts["training_id"], facts["cell_id"] = cell.training_id, cell.id
    except (ValidationError, UserError, KeyError):  # no ids follow from such a forgery
        return


def update(part: str = "", **values: Any) -> Callable[[Facts, Path], None]:
    """Set keys of a part of the record, such as "training"."""

    def change(facts: Facts, folder: Path) -> None:
        (facts[part] if part else facts).update(values)

    return change


def predict(
    how: Callable[[Rows], Rows], target: int | None = None
) -> Callable[[Facts, Path], None]:
    """Change the rows of predictions, of one target or of all; counts and hashes follow."""

    def change(facts: Facts, folder: Path) -> None:
        for number, facts_of in enumerate(facts["targets"]):
            if target in (None, number):
                file = folder / facts_of["predictions"]
                head, *lines = gzip.decompress(file.read_bytes()).decode().splitlines()
                rows = how([line.split(",") for line in lines])
                _write(file, head, rows, facts_of)

    return change


def _write(file: Path, head: str, rows: Rows, target: Facts) -> None:
    text = "\n".join([head, *(",".join(row) for row in rows)]) + "\n"
    file.write_bytes(gzip.compress(text.encode(), mtime=0))
    target["predictions_sha256"] = hashlib.sha256(file.read_bytes()).hexdigest()
    n = len(target["total"])
    target["total"] = [sum(int(row[1]) == label for row in rows) for label in range(n)]
    hits = [int(row[1]) for row in rows if row[1] == row[2]]
    target["correct"] = [hits.count(label) for label in range(n)]
    columns = {"label": np.array([int(row[1]) for row in rows]),
               "predicted": np.array([int(row[2]) for row in rows])}  # fmt: skip
    target["confusions"] = Table([row[0] for row in rows], columns).labels.confusions(n)


# --- ways to change predictions -------------------------------------------------------------------


def all_wrong(rows: Rows) -> Rows:
    return [[key, label, "1" if label == "0" else "0", *WRONG] for key, label, *_ in rows]


def without_mistakes(rows: Rows) -> Rows:
    return [row for row in rows if row[1] == row[2]]


def one_per_class(rows: Rows) -> Rows:
    return list({row[1]: row for row in rows if row[1] == row[2]}.values())


def one_flipped(rows: Rows) -> Rows:
    hit = next(row for row in rows if row[1] == row[2])
    return [all_wrong([row])[0] if row is hit else row for row in rows]


def shuffled(rows: Rows) -> Rows:
    return rows[::-1]


def renamed(rows: Rows) -> Rows:
    """Other keys, as of images that nobody has."""
    return [[f"x{key}", *more] for key, *more in rows]


def padded(number: int) -> Callable[[Rows], Rows]:
    """The rows with invented images of class 0, all correct."""
    return lambda rows: [*rows, *([f"invented{i}", "0", "0", *RIGHT] for i in range(number))]


def shortened(number: int) -> Callable[[Rows], Rows]:
    """The rows without `number` mistakes."""

    def how(rows: Rows) -> Rows:
        mistakes = [row for row in rows if row[1] != row[2]][:number]
        return [row for row in rows if row not in mistakes]

    return how


def relabelled(rows: Rows) -> Rows:
    """Two images of different classes change places: every count stays as it was."""
    other = next(i for i, row in enumerate(rows) if row[1] != rows[0][1])
    keys = [row[0] for row in rows]
    keys[0], keys[other] = keys[other], keys[0]
    return [[key, *row[1:]] for key, row in zip(keys, rows, strict=True)]


def everything_new(seed: int) -> Sequence[Callable[[Facts, Path], Any]]:
    """What a stranger changes so that a copy looks like another training: all but its mistakes."""

    def losses(facts: Facts, folder: Path) -> None:
        for terms in facts["training"]["losses"]:
            terms.update({name: value * 1.01 for name, value in terms.items()})
        facts["source"]["keys"] = [f"{key}9" for key in facts["source"]["keys"]]

    return (update(seed=seed), update("training", parameters_sha256="1" * 64), losses)
