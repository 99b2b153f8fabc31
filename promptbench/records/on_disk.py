"""Records on disk: written whole, found, read as what a stranger may have written."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from promptbench.errors import UserError, first_problem
from promptbench.records import predictions, subset, tuning
from promptbench.records.infos import CONSISTENT, PARAMETERS
from promptbench.records.record import MOST_BYTES, RECORD, Record
from promptbench.storage import integrity, reading, remembered
from promptbench.storage.files import write_whole
from promptbench.storage.remembered import Remembered
from promptbench.support.safe_text import shown_path


def write(record: Record, path: Path) -> None:
    """Write a record and, where it has one, the file of its few-shot keys; each file appears
    complete or not at all, and the record's last."""
    _put(*_encoded(record), path)


def finish(record: Record, folder: Path) -> None:
    """Finish a cell's folder: the hashes of all its files, and then the record."""
    digests = {target.predictions: target.predictions_sha256 for target in record.targets}
    if record.training.parameters_sha256 is not None:
        digests[PARAMETERS] = record.training.parameters_sha256
    data, keys = _encoded(record)
    if keys is not None:
        digests[subset.FILE] = hashlib.sha256(keys).hexdigest()
    digests[RECORD] = hashlib.sha256(data).hexdigest()
    integrity.write_sums(folder, digests)
    _put(data, keys, folder / RECORD)


def _put(data: bytes, keys: bytes | None, path: Path) -> None:
    if keys is not None:
        write_whole(path.parent / subset.FILE, keys)
    write_whole(path, data)


def _encoded(record: Record) -> tuple[bytes, bytes | None]:
    """The bytes of a record's file, and of that of its keys; see `promptbench.records.subset`."""
    inside, keys = subset.apart(record)
    return (_compact(inside.model_dump_json(indent=1)) + "\n").encode(), keys


def _compact(text: str) -> str:
    """Put on a line of its own, in indented JSON, every list of scalars and every object of scalars
    that is an element of a list: keys, counts of a class set, losses of an epoch."""
    lines: list[str] = []
    start: int | None = None  # of the innermost list or element that is open and holds no other
    for line in text.split("\n"):  # none is within a string, where JSON escapes it
        lines.append(line)
        if line.endswith("[") or line.strip() == "{":
            start = len(lines) - 1
        elif line.endswith("{"):
            start = None
        elif start is not None and line.lstrip().startswith(("]", "}")):
            inner = " ".join(each.strip() for each in lines[start + 1 : -1])
            lines[start:] = [f"{lines[start]}{inner}{line.lstrip()}"]
            start = None
    return "\n".join(lines)


def copy(path: Path, folder: Path) -> None:
    """Copy the file of a record, and that of its keys where it has one, into a folder.

    Raises:
        OSError: one of them cannot be read or written.
    """
    if (path.parent / subset.FILE).is_file():
        shutil.copyfile(path.parent / subset.FILE, folder / subset.FILE)
    shutil.copyfile(path, folder / RECORD)


def damage(folder: Path) -> str | None:
    """What keeps a folder with a record from counting as finished; None if nothing."""
    try:
        if reading.is_file(folder / integrity.SUMS, "the hashes"):
            return integrity.damage(folder, RECORD)
        read(folder / RECORD)
    except UserError as error:
        return str(error)
    return None


def read(path: Path) -> Record:
    """Read and validate a record, which must be as it was written.

    Raises:
        UserError: as `parse`; or SHA256SUMS lies beside it and lists another hash.
    """
    return read_hashed(path)[0]


def read_hashed(path: Path, memory: Remembered | None = None) -> tuple[Record, str]:
    """Read a record as `read` does; with the SHA-256 of its file. `memory` as in `parsed`."""
    data = reading.read_bytes(path, MOST_BYTES, "the record")
    digest = hashlib.sha256(data).hexdigest()
    found = subset.filled(parsed(data, path, memory, digest), path.parent)
    written = integrity.listed(path.parent).get(path.name)
    if written not in (None, digest):
        raise UserError(
            f"{shown_path(path)} was changed after it was written: its hash is not that of the "
            f"{integrity.SUMS} beside it; put the original back, or delete its folder and run the "
            "cell again"
        )
    return found, digest


def parse(path: Path) -> Record:
    """Read and validate a record, whether or not it was changed since it was written.

    Raises:
        UserError: not a regular file, larger than `MOST_BYTES`, or not a valid record; with the
            file and the key; or few-shot keys beside it that are missing or others.
    """
    data = reading.read_bytes(path, MOST_BYTES, "the record")
    return subset.filled(parsed(data, path), path.parent)


def parsed(
    data: bytes, path: Path, memory: Remembered | None = None, digest: str | None = None
) -> Record:
    """Validate the bytes of a record; few-shot keys that stand beside it are not read
    (`promptbench.records.subset.filled` does).

    Args:
        data: of the file.
        path: of the file, for messages.
        memory: bytes, by their SHA-256 `digest`, that are known to be a valid record: fields and
            types are read from them all the same.
        digest: of the bytes; computed here where it is not given.

    Raises:
        UserError: not a valid record, with the key.
    """
    digest = digest or hashlib.sha256(data).hexdigest()
    key = _key(digest) if memory is not None else ""
    known = memory is not None and memory.get(key) is not None
    try:
        if not known:
            reading.parse_json(data)  # pydantic takes NaN, and the last of two equal keys
        found = parsed_again(data) if known else Record.model_validate_json(data)
        if memory is not None and not known:
            memory.put(key, "yes")
        return found
    except ValidationError as error:
        reason = first_problem(error, "record")
        raise UserError(f"{shown_path(path)} is not a valid record: {reason}") from error
    except ValueError as error:
        raise UserError(f"{shown_path(path)} is not a valid record: {error}") from error


def is_known(path: Path, memory: Remembered) -> bool:
    """Whether the bytes of a record's file are known to be a valid record."""
    digest = digest_of(path)
    return digest is not None and memory.get(_key(digest)) is not None


def digest_of(path: Path) -> str | None:
    """The SHA-256 of a record's file; None where it cannot be read, which whoever reads it says."""
    try:
        return hashlib.sha256(reading.read_bytes(path, MOST_BYTES, "the record")).hexdigest()
    except UserError:
        return None


def _key(digest: str) -> str:
    return remembered.key_of("valid record", digest)


def parsed_again(data: bytes) -> Record:
    """Parse bytes that are known to be a valid record: fields and types are read from them, and
    what they claim is not checked."""
    return Record.model_validate_json(data, context=CONSISTENT)


def find(folders: Sequence[Path], trials: bool = False) -> list[Path]:
    """All record files under the given folders (or the files themselves), sorted.

    A folder that cannot be read, and may hold records, is among them as if it were one: `read`
    refuses it and says why.

    Args:
        trials: whether those of a search's trials below a folder are among them, which no table
            shows.

    Raises:
        UserError: one of the given folders lies in a folder that cannot be read.
    """
    found: set[Path] = set()
    for folder in folders:
        is_file = reading.exists(folder) and not folder.is_dir()
        found.update([folder] if is_file else _below(folder, trials))  # also a device, to refuse
    return sorted(found, key=lambda path: path.parts)


def _below(folder: Path, trials: bool) -> Iterator[Path]:
    unread: list[OSError] = []
    for place, inner, files in os.walk(folder, onerror=unread.append):
        if RECORD in files or RECORD in inner:  # also a folder of this name, which `read` refuses
            path = Path(place, RECORD)
            if os.path.exists(path):  # noqa: PTH110 - no link that leads nowhere; never raises
                yield path
        left_out = {"" if trials else tuning.FOLDER, predictions.FOLDER if RECORD in files else ""}
        inner[:] = [name for name in inner if name not in left_out]
    for error in unread:
        if os.path.exists(error.filename):  # noqa: PTH110 - not one that has just gone; never raises
            yield Path(error.filename)


def find_some(folders: Sequence[Path], trials: bool = False) -> list[Path]:
    """All record files as `find`, of which there must be one.

    Raises:
        UserError: there is none, or a folder that does not exist.
    """
    for folder in folders:
        if not reading.exists(folder):
            raise UserError(
                f"{shown_path(folder)} does not exist; `promptbench run` writes records"
            )
    paths = find(folders, trials)
    if not paths:
        shown = ", ".join(map(shown_path, folders))
        raise UserError(f"no records under {shown}; `promptbench run` writes them")
    return paths


def schema() -> dict[str, Any]:
    """The JSON schema of a record."""
    return Record.model_json_schema()
