"""Manifests: which samples a split has, and where each one lies."""

from __future__ import annotations

import csv
import gzip
import io
import sys
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from promptbench.data.images.formats import MOST_IMAGE
from promptbench.errors import RunError

MOST_MANIFEST = 2**30  # bytes of a manifest, unpacked; ImageNet's has 70 MB
_MOST_LINE = 2**16  # bytes; a row has five short fields


@dataclass(frozen=True, slots=True)
class Entry:
    """A sample's row of the manifest; `offset` and `size` locate the image inside the shard."""

    key: str
    label: int
    shard: str
    offset: int
    size: int


def parse_manifest(data: bytes, where: str, most: int | None = None) -> list[Entry]:
    """The rows of a manifest, of which an index says that there are `most`. They are unpacked one
    after another: a few bytes can stand for a gigabyte of rows.

    Raises:
        RunError: not gzip, not CSV, or a row that is not key, label, shard, offset, size; more of
            them than `most`.
    """
    entries: list[Entry] = []
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as packed:
            lines = _lines(io.BufferedReader(packed))
            for row in csv.reader(lines, strict=True):
                if len(entries) == most:
                    raise ValueError(f"it has more rows than the {most} of its index")
                entries.append(_entry(row))
    except (OSError, EOFError, ValueError, csv.Error, zlib.error) as error:
        raise RunError(f"{where} is damaged: {error}") from error
    return entries


def _lines(file: io.BufferedReader) -> Iterator[str]:
    left = MOST_MANIFEST
    while line := file.readline(min(left, _MOST_LINE) + 1):
        left -= len(line)
        if left < 0:
            raise ValueError(f"it unpacks to more than {MOST_MANIFEST // 2**20} MiB")
        if len(line) > _MOST_LINE:
            raise ValueError(f"a row has more than {_MOST_LINE} bytes")
        yield line.decode()


def _entry(row: list[str]) -> Entry:
    key, label, shard, offset, size = row
    entry = Entry(key, int(label), sys.intern(shard), int(offset), int(size))
    if entry.offset < 0 or not 0 < entry.size <= MOST_IMAGE:
        raise ValueError(f"sample {key!r} lies at {offset} and has {size} bytes")
    return entry
