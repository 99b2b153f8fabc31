"""A cell from the hub: its record, card and learned parameters, compared with the record's hashes.

What comes is data: JSON, TOML and safetensors. A method that is somebody's plugin does not come
with it; whoever uses the cell names its file, and decides to trust it.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

from promptbench import records
from promptbench.errors import UserError
from promptbench.records import PARAMETERS, RECORD, Record, subset
from promptbench.sharing import hub
from promptbench.sharing.contents import CARD, MOST_PARAMETERS
from promptbench.sharing.places import COMMIT, HubPlace
from promptbench.storage import reading
from promptbench.storage.integrity import SUMS

_MOST_TEXT = 16 * 2**20  # of a card or of hashes


def fetched(place: HubPlace) -> Path:
    """Download a cell into the client's cache; return the file of its record, what it has learned
    beside it.

    All files are those of one commit. Offline, what the cache holds is used.

    Raises:
        UserError: no such repository or revision, no network and nothing in the cache, a repository
            that holds something else, or files that are not those of the record.
    """
    why_not = hub.obstacle()
    path = _record_file(place, why_not)
    at = _pinned(place, path)
    record = _verified(place, path)
    for name in (SUMS, CARD, subset.FILE):
        try:
            hub.file_of(at, name, _MOST_TEXT, why_not)
        except (hub.Absent, hub.NotCached):
            continue
    _refuse_changed(place, path)
    _parameters(place, at, record, why_not)
    return path


def learned(place: HubPlace) -> tuple[HubPlace, Record, bytes]:
    """Download what a cell has learned.

    Returns:
        The place with its commit, the record, and the bytes of the learned parameters.

    Raises:
        UserError: as `fetched`, or a cell that has learned nothing.
    """
    why_not = hub.obstacle()
    path = _record_file(place, why_not)
    at, record = _pinned(place, path), _verified(place, path)
    data = _parameters(place, at, record, why_not)
    if data is None:
        raise UserError(f"{place}: {record.method.title} has learned nothing that could be used")
    return at, record, data


def _record_file(place: HubPlace, why_not: str | None) -> Path:
    try:
        return hub.file_of(place, RECORD, records.MOST_BYTES, why_not)
    except hub.Absent as error:
        raise UserError(
            f"{place} holds no {RECORD}: it is not a run that `promptbench push` has put there"
        ) from error


def _pinned(place: HubPlace, record: Path) -> HubPlace:
    """The place with the commit that its record is of, as the client's cache has it."""
    commit = record.parent.name
    return replace(place, revision=commit) if COMMIT.fullmatch(commit) else place


def _verified(place: HubPlace, path: Path) -> Record:
    data = reading.read_bytes(path, records.MOST_BYTES, "the record")
    return records.parsed(data, Path(f"{place}/{RECORD}"))


def _refuse_changed(place: HubPlace, path: Path) -> None:
    """Refuse a record that is not the one of the hashes beside it."""
    try:
        records.read(path)
    except UserError as error:
        raise UserError(
            f"{place}: {RECORD} is not the one of its {SUMS}, it was changed after it was written"
        ) from error


def _parameters(place: HubPlace, at: HubPlace, record: Record, why_not: str | None) -> bytes | None:
    """What a record's method has learned; None where it learns nothing."""
    held = record.training.parameters_sha256
    if held is None:
        return None
    try:
        path = hub.file_of(at, PARAMETERS, MOST_PARAMETERS, why_not)
    except hub.Absent as error:
        raise UserError(f"{place} lacks {PARAMETERS}, what its record has learned") from error
    data = reading.read_bytes(path, MOST_PARAMETERS, "the learned parameters")
    if hashlib.sha256(data).hexdigest() != held:
        raise UserError(
            f"{place}: {PARAMETERS} is not what its record was computed with (sha256 differs); "
            "it is not used"
        )
    return data
