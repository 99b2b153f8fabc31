"""Shards: a dataset on disk as webdataset tars with an index; opening and reading them.

A prepared dataset is a folder:

    index.json                   card name, version and digest, class names, counts, sha256 and size
                                 of every file
    <split>-000000.tar ...       {key}.<ext> (encoded image) and {key}.cls (label), per sample
    <split>.manifest.csv.gz      key, label, shard, offset, size: every sample in canonical order
    card.toml                    the card it was prepared from (not for generated datasets)

The canonical order is the layout's own (few-shot sampling depends on it). Inside the tars samples
lie in a fixed pseudo-random order, so that any prefix of them is a fair sample of the classes.
`promptbench.data.shards.writing` writes all this, and the same input gives the same bytes.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
from collections import Counter
from collections.abc import Callable, Container, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from promptbench.data.cards.cards import DataCard
from promptbench.data.cards.places import data_root
from promptbench.data.shards import hashes
from promptbench.data.shards.index import FORMAT as FORMAT  # part of this interface
from promptbench.data.shards.index import ShardIndex as ShardIndex
from promptbench.data.shards.index import SplitIndex as SplitIndex
from promptbench.data.shards.index import lies_in as lies_in
from promptbench.data.shards.index import manifest_name as manifest_name
from promptbench.data.shards.index import read_index as read_index
from promptbench.data.shards.manifests import MOST_MANIFEST
from promptbench.data.shards.manifests import Entry as Entry
from promptbench.data.shards.manifests import parse_manifest as parse_manifest
from promptbench.data.shards.parallel import ahead
from promptbench.data.web.downloading import Expected
from promptbench.errors import RunError, UserError
from promptbench.storage import reading
from promptbench.support.progress import Reporter

SAMPLES_PER_SHARD = 2000

_MOST_ROW = 256  # bytes of a manifest's row; keys have at most 90
_BESIDE = 2**16  # bytes of a shard behind its last image: a label, the end mark; of a gzip's head
_AT_ONCE = 2**28  # bytes that are hashed without a word


@dataclass(frozen=True)
class Item:
    """A sample: unique key, encoded image, label, and the shard it lies in."""

    key: str
    image: bytes
    label: int
    shard: str = ""


Fetch = Callable[[str, Expected], Path]  # (file name, what is known) -> where it lies on this disk


@dataclass(frozen=True)
class ShardSet:
    """A prepared dataset: its card, folder and index; `fetch` gets the files of a served one.

    It gives no image of a shard whose hash is not that of its index: what is damaged, or was
    changed, ends the run that reads it.
    """

    card: DataCard
    folder: Path
    index: ShardIndex
    fetch: Fetch | None = field(default=None, repr=False)
    _bounds: dict[str, int] = field(default_factory=dict, repr=False, compare=False)

    def manifest(self, split: str) -> list[Entry]:
        """All samples of a split in canonical order.

        Raises:
            RunError: a manifest that is missing, damaged or not the one of the index.
        """
        path, data = self._manifest(split)
        entries = parse_manifest(data, str(path), self.index.splits[split].count)
        self._check(split, entries, path)
        for entry in entries if self.fetch is not None else ():
            end = entry.offset + entry.size + _BESIDE
            self._bounds[entry.shard] = max(self._bounds.get(entry.shard, 0), end)
        return entries

    def _manifest(self, split: str) -> tuple[Path, bytes]:
        name, sha256 = manifest_name(split), self.index.splits[split].manifest
        path = self.path_of(name, sha256)
        if not reading.is_file(path, "the manifest"):
            raise RunError(f"{path} is missing; {self._remedy}")
        data = reading.read_bytes(path, MOST_MANIFEST, "the manifest")
        if hashlib.sha256(data).hexdigest() != sha256:
            raise self._another(name, "its sha256 differs")
        return path, data

    def read(self, entry: Entry) -> bytes:
        """The encoded image of one sample."""
        (item,) = self.items([entry])
        return item.image

    def items(self, entries: Sequence[Entry]) -> list[Item]:
        """Some samples, in the order of their entries; each shard is opened once.

        Raises:
            RunError: as `stream`.
        """
        found = {item.key: item for item in self.read_in_order(entries)}
        return [found[entry.key] for entry in entries]

    def check(self, splits: Iterable[str], listener: Reporter) -> None:
        """Compare the files of splits with their hashes, unless they are remembered as they are;
        those of served shards are compared when they come.

        Raises:
            RunError: as `manifest` and `stream`.
        """
        if self.fetch is not None:
            return
        files: dict[str, str] = {}
        for split in self.index.splits.keys() & set(splits):
            self._manifest(split)
            files |= self.index.splits[split].shards
        vouches = self._memory.vouches
        new = [name for name, sha256 in files.items() if not vouches(self.folder / name, sha256)]
        size = sum(p.stat().st_size for name in new if (p := self.folder / name).is_file())
        quiet = Reporter() if size < _AT_ONCE else listener
        with quiet.task(f"check {self.card.name}", len(new), "shards") as task:
            for name in new:
                list(self._read_shard(name, []))
                task.advance()

    def vouch(self, shard: str) -> None:
        """Let pass a shard that lies here as the index says; served ones are compared when they
        come.

        Raises:
            RunError: as `stream`.
        """
        if self.fetch is None:
            list(self._read_shard(shard, []))

    def stream(self, split: str, labels: Container[int] | None = None) -> Iterator[Item]:
        """All samples of a split (or those with certain labels) in shard order.

        Raises:
            RunError: a shard that is missing, damaged or not the one of the index.
        """
        entries = self.manifest(split)
        yield from self.read_in_order(e for e in entries if labels is None or e.label in labels)

    def in_order(self, entries: Iterable[Entry]) -> list[Entry]:
        """Samples in shard order."""
        return sorted(entries, key=lambda e: (e.shard, e.offset))

    def read_in_order(self, entries: Iterable[Entry]) -> Generator[Item, None, None]:
        """Samples in shard order; of a served set the next shard comes meanwhile.

        Raises:
            RunError: as `stream`.
        """
        ordered = self.in_order(entries)
        groups = [
            (shard, list(group))
            for shard, group in itertools.groupby(ordered, key=lambda e: e.shard)
        ]

        def get(group: tuple[str, list[Entry]]) -> tuple[str, list[Entry]]:
            self.path_of(group[0], self.sha256_of(group[0]))
            return group

        for shard, group in ahead(get, groups, workers=0 if self.fetch is None else 1):
            yield from self._read_shard(shard, group)

    def sha256_of(self, shard: str) -> str:
        """The hash that a shard has by the index."""
        return self.index.splits[shard.rpartition("-")[0]].shards[shard]

    def path_of(self, name: str, sha256: str) -> Path:
        """Where a file lies on this disk; a served one is fetched into the cache first."""
        if self.fetch is None:
            return self.folder / name
        size, bound = self.index.size_of(name), self._bound(name)
        if size is not None and size > bound:
            raise RunError(
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

    @cached_property
    def _memory(self) -> hashes.Memory:
        return hashes.Memory(self.folder)

    @property
    def _remedy(self) -> str:
        name, folder = self.card.name, self.folder
        if self.fetch is not None:
            return "run the same command again, which fetches it again"
        if self.card.source.kind == "generated":
            return f"delete {folder}, and the next run generates the dataset again"
        if "shards" in self.card.source.options:
            return (
                f"put the original back (`promptbench data verify {name}` names all that differs), "
                f"or write a card for these shards with `promptbench data new {name} --replace`"
            )
        elsewhere = folder.parent.resolve() != data_root(None).resolve()
        source = "" if self.card.source.location else " --source DIR"
        out, root = (f" {o} {folder.parent}" if elsewhere else "" for o in ("--out", "--data"))
        return (
            f"put the original back, or delete {folder} and run `promptbench data prepare "
            f"{name}{source}{out}` again; `promptbench data verify {name}{root}` names all that "
            "differs"
        )

    def _another(self, name: str, why: str) -> RunError:
        return RunError(
            f"{self.folder / name} of dataset {self.card.name} is not the file of its index "
            f"({why}): it is damaged or was changed, and nothing of it is used; {self._remedy}"
        )

    def _read_shard(self, shard: str, entries: list[Entry]) -> Iterator[Item]:
        sha256 = self.sha256_of(shard)
        path = self.path_of(shard, sha256)
        try:
            with hashes.opened(path, sha256, self._memory) as file:
                for entry in entries:
                    image = file.read(entry.offset, entry.size)
                    if len(image) != entry.size:
                        raise RunError(
                            f"shard {path} ends before sample {entry.key}, which its manifest "
                            f"lists; {self._remedy}"
                        )
                    yield Item(entry.key, image, entry.label, shard)
        except hashes.Differs as error:
            raise self._another(shard, str(error)) from error
        except FileNotFoundError as error:
            raise RunError(f"shard {path} is missing; {self._remedy}") from error
        except OSError as error:
            raise RunError(f"shard {path} cannot be read: {error.strerror}") from error

    def _check(self, split: str, entries: list[Entry], path: Path) -> None:
        index = self.index.splits[split]  # there are at most as many rows as it counts
        counted = Counter(entry.label for entry in entries)
        if [counted[label] for label in range(len(index.per_class))] != index.per_class:
            raise RunError(f"{path} lists other samples per class than the index; {self._remedy}")
        strange = {entry.shard for entry in entries} - set(index.shards)
        if strange or len({entry.key for entry in entries}) != len(entries):
            what = f"names the unknown shard {min(strange)}" if strange else "repeats a key"
            raise RunError(f"{path} {what}; {self._remedy}")


@dataclass(frozen=True)
class _Split:
    """A split by what determines its samples."""

    folder: Path
    manifest_sha256: str
    data: ShardSet = field(compare=False)
    name: str = field(compare=False)


def samples_of(data: ShardSet, split: str) -> Sequence[Entry]:
    """The samples of a split as `ShardSet.manifest`, parsed once for as long as few splits are
    asked for: for whoever compares many records with one dataset.

    Raises:
        RunError: as there.
    """
    return _samples(_Split(data.folder, data.index.splits[split].manifest, data, split))


@functools.lru_cache(maxsize=16)  # of ImageNet's size, each takes some 20 MB
def _samples(split: _Split) -> Sequence[Entry]:
    return tuple(split.data.manifest(split.name))


def open_set(card: DataCard, folder: Path) -> ShardSet:
    """Open a prepared dataset.

    Raises:
        UserError: no index, a damaged one, one that cannot be read, or shards of another card.
    """
    path = folder / "index.json"
    if not lies_in(folder):
        raise UserError(f"dataset {card.name!r} is not prepared: {path} does not exist")
    index = read_index(path)
    if index.card_digest != card.digest:
        raise UserError(
            f"{folder} holds shards of another version of the card {card.name!r} "
            f"(version {index.card_version}, now {card.version}; what it says of classes, splits, "
            f"prompt or source has changed); delete the folder, then run "
            f"`promptbench data prepare {card.name}`"
        )
    return ShardSet(card, folder, index)
