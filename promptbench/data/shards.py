"""Shards: a data set on disk as webdataset tars, written deterministically and indexed.

A prepared data set is a folder:

    index.json                   card name, version and digest, class names, counts, sha256 per file
    <split>-000000.tar ...       {key}.<ext> (encoded image) and {key}.cls (label), per sample
    <split>.manifest.csv.gz      key, label, shard, offset, size: every sample in canonical order

The canonical order is the layout's own (few-shot sampling depends on it). Inside the tars samples
lie in a fixed pseudo-random order, so that any prefix of them is a fair sample of the classes.
The same input gives the same bytes.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import shutil
import tarfile
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import webdataset
from pydantic import BaseModel, ConfigDict, ValidationError

from promptbench.data.cards import DataCard
from promptbench.errors import UserError
from promptbench.seeding import generator

SAMPLES_PER_SHARD = 2000
IMAGE_EXTENSIONS = ("jpg", "jpeg", "png", "webp", "bmp", "gif")


@dataclass(frozen=True)
class Item:
    """A sample: unique key, encoded image, its file extension, label, and the shard it lies in."""

    key: str
    image: bytes
    extension: str
    label: int
    shard: str = ""


@dataclass(frozen=True)
class Entry:
    """A sample's row of the manifest; `offset` and `size` locate the image inside the shard."""

    key: str
    label: int
    shard: str
    offset: int
    size: int


class SplitIndex(BaseModel):
    """What a split must hold: samples per label, and sha256 per file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    per_class: list[int]
    shards: dict[str, str]
    manifest: str

    @property
    def count(self) -> int:
        return sum(self.per_class)


class ShardIndex(BaseModel):
    """index.json."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: str = "promptbench-shards/1"
    name: str
    card_version: int
    card_digest: str
    classes: list[str]
    splits: dict[str, SplitIndex]

    @property
    def digest(self) -> str:
        """SHA-256 over the hashes of all files."""
        text = "\n".join(
            f"{split} {index.manifest} " + " ".join(index.shards.values())
            for split, index in sorted(self.splits.items())
        )
        return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class ShardSet:
    """A prepared data set: its card, folder and index."""

    card: DataCard
    folder: Path
    index: ShardIndex

    def manifest(self, split: str) -> list[Entry]:
        """All samples of a split in canonical order."""
        with gzip.open(self.folder / f"{split}.manifest.csv.gz", "rt", newline="") as file:
            return [
                Entry(key, int(label), shard, int(offset), int(size))
                for key, label, shard, offset, size in csv.reader(file)
            ]

    def read(self, entry: Entry) -> bytes:
        """The encoded image of one sample."""
        with (self.folder / entry.shard).open("rb") as file:
            file.seek(entry.offset)
            return file.read(entry.size)

    def stream(self, split: str) -> Iterator[Item]:
        """All samples of a split in shard order.

        Raises:
            UserError: a shard that is missing or damaged, by name.
        """
        for shard in sorted(self.index.splits[split].shards):
            yield from _stream_shard(self.folder / shard)


def open_set(card: DataCard, folder: Path) -> ShardSet:
    """Open a prepared data set.

    Raises:
        UserError: no index, a damaged one, or shards of another card.
    """
    path = folder / "index.json"
    if not path.is_file():
        raise UserError(f"data set {card.name!r} is not prepared: {path} does not exist")
    try:
        index = ShardIndex.model_validate_json(path.read_text())
    except ValidationError as error:
        raise UserError(
            f"{path} is damaged: {error.errors()[0]['msg']}; prepare it anew"
        ) from error
    if index.card_digest != card.digest:
        raise UserError(
            f"{folder} holds shards of another version of the card {card.name!r} "
            f"(version {index.card_version}, now {card.version}); delete it to prepare it anew"
        )
    return ShardSet(card, folder, index)


def write(
    card: DataCard,
    folder: Path,
    splits: Mapping[str, Iterable[Item]],
) -> ShardSet:
    """Write all splits of a data set; the folder appears at once, when it is complete.

    Raises:
        UserError: the folder cannot be written, or the counts are not the card's.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    except OSError as error:
        raise UserError(f"cannot write the data folder {folder.parent}: {error}") from error
    try:
        written = {name: _write_split(card, scratch, name, s) for name, s in splits.items()}
        index = ShardIndex(
            name=card.name,
            card_version=card.version,
            card_digest=card.digest,
            classes=card.classes,
            splits=written,
        )
        (scratch / "index.json").write_text(index.model_dump_json(indent=1))
        _publish(scratch, folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return open_set(card, folder)


def _publish(scratch: Path, folder: Path) -> None:
    try:
        scratch.chmod(0o755)
        scratch.rename(folder)
    except OSError:
        if not (folder / "index.json").is_file():  # else another process finished first
            raise


def _write_split(
    card: DataCard,
    folder: Path,
    split: str,
    items: Iterable[Item],
) -> SplitIndex:
    canonical = list(items)
    if len(canonical) != card.splits[split]:
        raise UserError(
            f"{card.name}/{split} has {len(canonical)} samples, "
            f"but its card says {card.splits[split]}"
        )
    order = generator(0, "shard-order", card.name, split).permutation(len(canonical))
    located: dict[str, Entry] = {}
    shards: dict[str, str] = {}
    for number, start in enumerate(range(0, len(order), SAMPLES_PER_SHARD)):
        name = f"{split}-{number:06d}.tar"
        chunk = [canonical[i] for i in order[start : start + SAMPLES_PER_SHARD]]
        _write_tar(folder / name, chunk)
        located |= {entry.key: entry for entry in _locate(folder / name, chunk)}
        shards[name] = sha256_of(folder / name)
    manifest = folder / f"{split}.manifest.csv.gz"
    manifest.write_bytes(_manifest_bytes(located[item.key] for item in canonical))
    per_class = [0] * len(card.classes)
    for item in canonical:
        per_class[item.label] += 1
    return SplitIndex(per_class=per_class, shards=shards, manifest=sha256_of(manifest))


def _write_tar(path: Path, items: Iterable[Item]) -> None:
    with path.open("wb") as file, webdataset.TarWriter(file, mtime=0, encoder=False) as tar:
        for item in items:
            label = str(item.label).encode()
            tar.write({"__key__": item.key, item.extension: item.image, "cls": label})


def _locate(path: Path, items: Iterable[Item]) -> Iterator[Entry]:
    with tarfile.open(path) as tar:
        members = {member.name: member for member in tar.getmembers()}
    for item in items:
        member = members[f"{item.key}.{item.extension}"]
        yield Entry(item.key, item.label, path.name, member.offset_data, member.size)


def _manifest_bytes(entries: Iterable[Entry]) -> bytes:
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerows((e.key, e.label, e.shard, e.offset, e.size) for e in entries)
    return gzip.compress(text.getvalue().encode(), mtime=0)


def sha256_of(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _stream_shard(path: Path) -> Iterator[Item]:
    if not path.is_file():
        raise UserError(f"shard {path} is missing; delete its folder to prepare the data set anew")
    last = "its beginning"
    try:
        for sample in webdataset.WebDataset(str(path), shardshuffle=False, empty_check=False):
            extension = next(e for e in IMAGE_EXTENSIONS if e in sample)
            yield Item(
                sample["__key__"], sample[extension], extension, int(sample["cls"]), path.name
            )
            last = f"sample {sample['__key__']}"
    except (tarfile.TarError, OSError, EOFError, KeyError, StopIteration, ValueError) as error:
        raise UserError(
            f"shard {path} is damaged after {last} ({type(error).__name__}: {error}); "
            "delete its folder to prepare the data set anew"
        ) from error
