"""What is handed on of a cell: its record, what it learned, its predictions, the card of its data.

All of it is compared with the record's hashes before it leaves.
"""

from __future__ import annotations

import hashlib
import tomllib
from dataclasses import dataclass
from pathlib import Path

import tomli_w

from promptbench import records
from promptbench.data.cards import cards
from promptbench.errors import UserError
from promptbench.records import PARAMETERS, RECORD, Record, subset
from promptbench.records.verify import MOST_BYTES as MOST_PREDICTIONS
from promptbench.records.verify import predictions_path, recompute_target
from promptbench.storage import reading
from promptbench.storage.integrity import SUMS

CARD, README = "card.toml", "README.md"
MOST_PARAMETERS = 16 * 2**30


@dataclass(frozen=True)
class Contents:
    """The files of a cell by their names, and what is said of those that are left out."""

    record: Record
    files: dict[str, bytes]
    notes: tuple[str, ...]


def of_cell(path: Path) -> Contents:
    """Read the files of the cell with this record.

    Raises:
        UserError: a record that is not valid or was changed, learned parameters that are missing or
            not those of the record, or predictions that do not give its counts.
    """
    record, folder = records.read(path), path.parent
    notes: list[str] = []
    files = {RECORD: reading.read_bytes(path, records.MOST_BYTES, "the record")}
    files |= _parameters(record, folder)
    if (beside := folder / subset.FILE).is_file():
        files[subset.FILE] = reading.read_bytes(beside, subset.MOST_PACKED, "the few-shot keys")
    for target in record.targets:
        file = predictions_path(target, folder)
        if file.is_file():
            recompute_target(target, folder)
            files[target.predictions] = reading.read_bytes(
                file, MOST_PREDICTIONS, "the predictions"
            )
        else:
            notes.append(f"the predictions of {target.key} are not beside the record, left out")
    sums = {name: hashlib.sha256(data).hexdigest() for name, data in sorted(files.items())}
    files[SUMS] = "".join(f"{digest}  {name}\n" for name, digest in sums.items()).encode()
    card = _card(record)
    if card is None:
        notes.append(
            f"the data card of {record.source.dataset} is not the one of the record here, left out"
        )
    else:
        files[CARD] = card
    return Contents(record, files, tuple(notes))


def _parameters(record: Record, folder: Path) -> dict[str, bytes]:
    held = record.training.parameters_sha256
    if held is None:
        return {}
    path = folder / PARAMETERS
    if not path.exists():
        raise UserError(
            f"{folder} has no {PARAMETERS}: there is nothing to hand on without what was learned"
        )
    data = reading.read_bytes(path, MOST_PARAMETERS, "the learned parameters")
    if hashlib.sha256(data).hexdigest() != held:
        raise UserError(f"{path} is not what the record beside it was computed with")
    return {PARAMETERS: data}


def _card(record: Record) -> bytes | None:
    """The card of the source without the place of its images; None if the record's is not here."""
    name = record.source.dataset
    if name not in cards.names() or name not in record.data:
        return None
    card = cards.load(name)
    if card.digest != record.data[name].card_sha256:
        return None
    text = cards.path_of(name).read_text(encoding="utf-8")
    if not card.source.location:
        return text.encode()
    facts = tomllib.loads(text)
    del facts["source"]["location"]  # a path of this machine is nobody's business
    return tomli_w.dumps(facts).encode()
