"""Few-shot subsets of many images: their keys stand in a file beside the record.

The subset of ImageNet at 16 shots takes 280 kB, nine tenths of its record. A record in memory
always holds its keys; in the JSON of one with more than `MOST_INSIDE` stands their SHA-256 instead,
and `FILE` beside it holds them, gzipped, one a line, in sampled order.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import zlib
from pathlib import Path

from promptbench.errors import UserError
from promptbench.records.record import Record
from promptbench.storage import reading
from promptbench.support.safe_text import shown_path

FILE = "subset.txt.gz"
MOST_INSIDE = 2_000
MOST_PACKED = 16 * 2**20
_MOST = 64 * 2**20


def apart(record: Record) -> tuple[Record, bytes | None]:
    """The record as its JSON says it, and the bytes of `FILE`; None where the keys stay inside."""
    keys = record.source.keys
    if len(keys) <= MOST_INSIDE or any("\n" in key for key in keys):
        return record, None
    lines = "\n".join(keys).encode()
    packer = zlib.compressobj(9, zlib.DEFLATED, 16 + zlib.MAX_WBITS)  # as gzip, with no time in it
    digest = hashlib.sha256(lines).hexdigest()
    return _with_keys(record, [], digest), packer.compress(lines) + packer.flush()


def filled(record: Record, folder: Path) -> Record:
    """The record with its keys, from the folder of its file where they stand beside it.

    Raises:
        UserError: the file is missing, is none of keys, or holds other keys than the record's.
    """
    digest = record.source.keys_sha256
    return record if digest is None else _with_keys(record, read(folder, digest), None)


def read(folder: Path, digest: str) -> list[str]:
    """The few-shot keys in a folder, which must have this SHA-256.

    Raises:
        UserError: as `filled`.
    """
    path = folder / FILE
    data = reading.read_bytes(path, MOST_PACKED, "the few-shot keys")
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
            lines = file.read(_MOST + 1)
        keys = lines.decode().split("\n")
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise UserError(f"{shown_path(path)} does not hold few-shot keys: {error}") from error
    if len(lines) > _MOST or hashlib.sha256(lines).hexdigest() != digest:
        raise UserError(
            f"{shown_path(path)} does not hold the few-shot keys of the record beside it"
        )
    return keys


def _with_keys(record: Record, keys: list[str], digest: str | None) -> Record:
    source = record.source.model_copy(update={"keys": keys, "keys_sha256": digest})
    return record.model_copy(update={"source": source})
