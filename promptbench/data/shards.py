"""Shards: a data set on disk as webdataset tars with an index; opening and reading them.

A prepared data set is a folder:

    index.json                   card name, version and digest, class names, counts, sha256 and size
                                 of every file
    <split>-000000.tar ...       {key}.<ext> (encoded image) and {key}.cls (label), per sample
    <split>.manifest.csv.gz      key, label, shard, offset, size: every sample in canonical order
    card.toml                    the card it was prepared from (not for generated data sets)

The canonical order is the layout's own (few-shot sampling depends on it). Inside the tars samples
lie in a fixed pseudo-random order, so that any prefix of them is a fair sample of the classes.
`promptbench.data.writing` writes all this, and the same input gives the same bytes.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import itertools
import zlib
from collections import Counter
from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from promptbench.data.cards import DataCard
from promptbench.data.downloading import Expected
from promptbench.data.index import FORMAT as FORMAT  # part of this interface
from promptbench.data.index import ShardIndex as ShardIndex
from promptbench.data.index import SplitIndex as SplitIndex
from promptbench.data.index import manifest_name as manifest_name
from promptbench.data.index import read_index as read_index
from promptbench.data.parallel import ahead
from promptbench.errors import UserError

SAMPLES_PER_SHARD = 2000

_MOST_MANIFEST = 2**30  # bytes of an unpacked manifest; ImageNet's has 70 MB
_MOST_IMAGE = 2**28  # bytes of an encoded image
_MOST_ROW = 256  # bytes of a manifest's row; keys have at most 90
_BESIDE = 2**16  # bytes of a shard behind its last image: a label, the end mark; of a gzip's head


@dataclass(frozen=True)
class Item:
    """A sample: unique key, encoded image, label, and the shard it lies in."""

    key: str
    image: bytes
    label: int
    shard: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """A sample's row of the manifest; `offset` and `size` locate the image inside the shard."""

    key: str
    label: int
    shard: str
    offset: int
    size: int


Fetch = Callable[[str, Expected], Path]  # (file name, what is known) -> where it lies on this disk


@dataclass(frozen=True)
class ShardSet:
    """A prepared data set: its card, folder and index; `fetch` gets the files of a served one."""

    card: DataCard
    folder: Path
    index: ShardIndex
    fetch: Fetch | None = field(default=None, repr=False)
    _bounds: dict[str, int] = field(default_factory=dict, repr=False, compare=False)

    def manifest(self, split: str) -> list[Entry]:
        """All samples of a split in canonical order.

        Raises:
            UserError: a manifest that is missing, damaged or not the one of the index.
        """
        name = manifest_name(split)
        path = self.path_of(name, self.index.splits[split].manifest)
        if not path.is_file():
            raise UserError(f"{path} is missing; {self._remedy}")
        data = path.read_bytes()
        if hashlib.sha256(data).hexdigest() != self.index.splits[split].manifest:
            raise UserError(f"{path} is not the file of its index (sha256 differs); {self._remedy}")
        entries = parse_manifest(data, str(path))
        self._check(split, entries, path)
        for entry in entries if self.fetch is not None else ():
            end = entry.offset + entry.size + _BESIDE
            self._bounds[entry.shard] = max(self._bounds.get(entry.shard, 0), end)
        return entries

    def read(self, entry: Entry) -> bytes:
        """The encoded image of one sample."""
        (item,) = self._read_shard(entry.shard, [entry])
        return item.image

    def stream(self, split: str, labels: Container[int] | None = None) -> Iterator[Item]:
        """All samples of a split (or those with certain labels) in shard order.

        Raises:
            UserError: a shard that is missing or too short, with the sample.
        """
        ordered = sorted(self.manifest(split), key=lambda e: (e.shard, e.offset))
        wanted = [entry for entry in ordered if labels is None or entry.label in labels]
        groups = [
            (shard, list(entries))
            for shard, entries in itertools.groupby(wanted, key=lambda e: e.shard)
        ]
        if self.fetch is not None:  # the next shard comes while this one is read
            yield from self._stream_ahead(split, groups)
            return
        for shard, entries in groups:
            yield from self._read_shard(shard, entries)

    def _stream_ahead(self, split: str, groups: list[tuple[str, list[Entry]]]) -> Iterator[Item]:
        hashes = self.index.splits[split].shards

        def get(group: tuple[str, list[Entry]]) -> tuple[str, list[Entry]]:
            self.path_of(group[0], hashes[group[0]])
            return group

        for shard, entries in ahead(get, groups, workers=1):
            yield from self._read_shard(shard, entries)

    def path_of(self, name: str, sha256: str) -> Path:
        """Where a file lies on this disk; a served one is fetched into the cache first."""
        if self.fetch is None:
            return self.folder / name
        size, bound = self.index.size_of(name), self._bound(name)
        if size is not None and size > bound:
            raise UserError(
                f"the index of {self.card.source.location} says that {name} has {size} bytes, "
                f"which it cannot have (at most {bound}); the dataset must be prepared again"
            )
        return self.fetch(name, Expected(sha256, size, at_most=bound))

    def _bound(self, name: str) -> int:
        """The bytes that a served file may have: of a manifest by the card's counts, of a shard by
        the manifest. The sizes of an index are part of no digest, so a server may have changed
        them; and old ones have none."""
        split, dash, _ = name.rpartition("-")
        if not dash:
            return _BESIDE + self.card.splits.get(name.partition(".")[0], 0) * _MOST_ROW
        if name not in self._bounds:
            self.manifest(split)
        return self._bounds[name]

    @property
    def _remedy(self) -> str:
        return (
            f"`promptbench data verify {self.card.name}` names all that differs; "
            f"delete {self.folder} to prepare it anew"
        )

    def _read_shard(self, shard: str, entries: list[Entry]) -> Iterator[Item]:
        split = shard.rpartition("-")[0]
        path = self.path_of(shard, self.index.splits[split].shards[shard])
        try:
            with path.open("rb") as file:
                for entry in entries:
                    file.seek(entry.offset)
                    image = file.read(entry.size)
                    if len(image) != entry.size:
                        raise UserError(
                            f"shard {path} is truncated: sample {entry.key} is not whole; "
                            f"{self._remedy}"
                        )
                    yield Item(entry.key, image, entry.label, shard)
        except FileNotFoundError as error:
            raise UserError(f"shard {path} is missing; {self._remedy}") from error
        except OSError as error:
            raise UserError(f"shard {path} cannot be read: {error.strerror}") from error

    def _check(self, split: str, entries: list[Entry], path: Path) -> None:
        index = self.index.splits[split]
        counted = Counter(entry.label for entry in entries)
        if [counted[label] for label in range(len(index.per_class))] != index.per_class:
            raise UserError(f"{path} lists other samples per class than the index; {self._remedy}")
        if len(entries) != index.count:
            raise UserError(f"{path} lists labels that are out of range; {self._remedy}")
        strange = {entry.shard for entry in entries} - set(index.shards)
        if strange or len({entry.key for entry in entries}) != len(entries):
            what = f"names the unknown shard {min(strange)}" if strange else "repeats a key"
            raise UserError(f"{path} {what}; {self._remedy}")


def parse_manifest(data: bytes, where: str) -> list[Entry]:
    """The rows of a manifest.

    Raises:
        UserError: not gzip, not CSV, or a row that is not key, label, shard, offset, size.
    """
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
            unpacked = file.read(_MOST_MANIFEST + 1)
        if len(unpacked) > _MOST_MANIFEST:
            raise ValueError(f"it unpacks to more than {_MOST_MANIFEST // 2**20} MiB")
        text = io.StringIO(unpacked.decode(), newline="")
        return [_entry(row) for row in csv.reader(text, strict=True)]
    except (OSError, EOFError, ValueError, csv.Error, zlib.error) as error:
        raise UserError(f"{where} is damaged: {error}") from error


def _entry(row: list[str]) -> Entry:
    key, label, shard, offset, size = row
    entry = Entry(key, int(label), shard, int(offset), int(size))
    if entry.offset < 0 or not 0 < entry.size <= _MOST_IMAGE:
        raise ValueError(f"sample {key!r} lies at {offset} and has {size} bytes")
    return entry


def open_set(card: DataCard, folder: Path) -> ShardSet:
    """Open a prepared data set.

    Raises:
        UserError: no index, a damaged one, or shards of another card.
    """
    path = folder / "index.json"
    if not path.is_file():
        raise UserError(f"data set {card.name!r} is not prepared: {path} does not exist")
    index = read_index(path)
    if index.card_digest != card.digest:
        raise UserError(
            f"{folder} holds shards of another version of the card {card.name!r} "
            f"(version {index.card_version}, now {card.version}; what it says of classes, splits, "
            f"prompt or source has changed); delete the folder, then run "
            f"`promptbench data prepare {card.name}`"
        )
    return ShardSet(card, folder, index)


def sha256_of(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
