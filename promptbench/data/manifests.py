"""Manifests: which samples a split has, and where each one lies."""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from dataclasses import dataclass

from promptbench.data.formats import MOST_IMAGE
from promptbench.errors import RunError

_MOST_MANIFEST = 2**30  # bytes of an unpacked manifest; ImageNet's has 70 MB


@dataclass(frozen=True, slots=True)
class Entry:
    """A sample's row of the manifest; `offset` and `size` locate the image inside the shard."""

    key: str
    label: int
    shard: str
    offset: int
    size: int


def parse_manifest(data: bytes, where: str) -> list[Entry]:
    """The rows of a manifest.

    Raises:
        RunError: not gzip, not CSV, or a row that is not key, label, shard, offset, size.
    """
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
            unpacked = file.read(_MOST_MANIFEST + 1)
        if len(unpacked) > _MOST_MANIFEST:
            raise ValueError(f"it unpacks to more than {_MOST_MANIFEST // 2**20} MiB")
        text = io.StringIO(unpacked.decode(), newline="")
        return [_entry(row) for row in csv.reader(text, strict=True)]
    except (OSError, EOFError, ValueError, csv.Error, zlib.error) as error:
        raise RunError(f"{where} is damaged: {error}") from error


def _entry(row: list[str]) -> Entry:
    key, label, shard, offset, size = row
    entry = Entry(key, int(label), shard, int(offset), int(size))
    if entry.offset < 0 or not 0 < entry.size <= MOST_IMAGE:
        raise ValueError(f"sample {key!r} lies at {offset} and has {size} bytes")
    return entry
