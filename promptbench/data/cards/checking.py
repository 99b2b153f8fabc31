"""`promptbench data verify`: every hash and count of a prepared dataset, recomputed, and what its
images show."""

from __future__ import annotations

import tarfile
from collections.abc import Generator, Iterable, Iterator
from functools import partial
from pathlib import Path

from promptbench.data.cards import cards
from promptbench.data.cards.survey import SeenImage, blanks, remarks, survey, whereabouts
from promptbench.data.images import pictures
from promptbench.data.images.formats import IMAGE_EXTENSIONS
from promptbench.data.images.pictures import Picture
from promptbench.data.shards import shards
from promptbench.data.shards.hashes import remembered
from promptbench.data.shards.index import Duplicates
from promptbench.data.shards.parallel import ahead
from promptbench.data.shards.shards import Entry, ShardSet
from promptbench.errors import UserError
from promptbench.support.progress import Reporter

_SHOWN = 5  # images of a shard that cannot be decoded


def differences(
    data: ShardSet, listener: Reporter, workers: int = 2, decode: bool = True
) -> Iterator[str]:
    """Everything that is not as the index says, or not as a run wants it, one sentence each.

    Images are looked at in `workers` threads; without `decode`, only their headers are. The
    listener hears of what is worth knowing without being wrong.
    """
    splits = data.index.splits
    if data.index.classes != data.card.classes:
        yield "index.json: its class names are not the card's"
    for split in data.card.splits:
        if split not in splits:
            yield f"index.json: split {split} is missing"
        elif splits[split].count != data.card.splits[split]:
            yield (
                f"index.json: split {split} has {splits[split].count} samples, "
                f"the card says {data.card.splits[split]}"
            )
    yield from _strange_files(data)
    seen: list[SeenImage] = []
    with listener.task(
        f"verify {data.card.name}", sum(len(s.shards) for s in splits.values()), "shards"
    ) as task:
        for split, index in splits.items():
            entries = yield from _manifest(data, split)
            looks: dict[str, Picture] = {}
            for name, sha256 in index.shards.items():
                sound = yield from _shard(data, name, sha256, entries)
                here = [entry for entry in entries or () if sound and entry.shard == name]
                path = data.path_of(name, sha256)
                looks |= yield from _looks(path, here, workers, decode)
                task.advance()
            found = (entry for entry in entries or () if entry.key in looks)
            seen += [SeenImage(split, entry.label, entry.key, looks[entry.key]) for entry in found]
    yield from _of_images(data, seen, listener)


def _of_images(data: ShardSet, seen: Iterable[SeenImage], listener: Reporter) -> Iterator[str]:
    """What images show that the index does not say of them."""
    found, classes = survey(seen), data.index.classes
    known, now = data.index.duplicates or Duplicates(), found.duplicates
    unknown = now.splits > known.splits or now.classes > known.classes
    if unknown and not cards.is_packaged(data.card.name):
        yield f"{whereabouts(found, classes)}; its index does not say so"
    if found.deep > (data.index.deep or 0):  # fewer are left where they were made smaller
        yield (
            f"{found.deep} images hold more than 8 bits of grey, the index counts "
            f"{data.index.deep or 0}: they were white for the version that prepared them"
        )
    yield from blanks(found, classes)
    for line in remarks(found, classes):
        listener.message(f"{data.card.name}: {line}")


def _strange_files(data: ShardSet) -> Iterator[str]:
    expected = {"index.json", "card.toml"}
    for split, index in data.index.splits.items():
        expected |= {shards.manifest_name(split), *index.shards}
    for path in sorted(data.folder.iterdir()):
        fetching = data.fetch is not None and path.name.startswith(".")  # perhaps another process
        if path.name not in expected and not fetching:
            yield f"{path.name}: this file does not belong to the dataset"


def _manifest(data: ShardSet, split: str) -> Generator[str, None, list[Entry] | None]:
    """Problems of a manifest; returns its entries, as far as they can be read."""
    try:
        return data.manifest(split)
    except UserError as error:
        yield str(error).partition(";")[0]
        return None


def _shard(
    data: ShardSet, name: str, sha256: str, entries: list[Entry] | None
) -> Generator[str, None, bool]:
    """Problems of a shard; returns whether its bytes are those of the index."""
    path = data.path_of(name, sha256)
    if not path.is_file():
        yield f"{name}: missing"
        return False
    sound = remembered(path, again=True) == sha256
    if not sound:
        yield f"{name}: sha256 differs"
    try:
        found = _members(path)
    except (tarfile.TarError, OSError, EOFError, ValueError, KeyError) as error:
        yield f"{name}: not readable to its end ({error})"
        return False
    if entries is not None:
        listed = {e.key: (e.label, e.offset, e.size) for e in entries if e.shard == name}
        for key in sorted(listed.keys() | found.keys()):
            if listed.get(key) != found.get(key):
                yield f"{name}: sample {key} is not as the manifest says"
    return sound


def _members(path: Path) -> dict[str, tuple[int, int, int]]:
    """key -> (label, offset, size) of everything in a tar."""
    places: dict[str, tuple[int, int]] = {}
    labels: dict[str, int] = {}
    with tarfile.open(path, "r:") as tar:
        for member in tar:
            key, _, extension = member.name.rpartition(".")
            file = tar.extractfile(member)
            if extension == "cls" and file is not None:
                labels[key] = int(file.read())
            elif extension in IMAGE_EXTENSIONS:
                places[key] = (member.offset_data, member.size)
    return {key: (labels[key], *place) for key, place in places.items()}


def _looks(
    path: Path, entries: list[Entry], workers: int, decode: bool
) -> Generator[str, None, dict[str, Picture]]:
    """Images that a run could not take; returns the looks of the others by key."""
    looks: dict[str, Picture] = {}
    problems = []
    found = ahead(partial(_look, path, decode), entries, workers)
    for entry, look in zip(entries, found, strict=True):
        if isinstance(look, Picture):
            looks[entry.key] = look
        else:
            problems.append(f"{path.name}: sample {entry.key}: {look}")
    yield from problems[:_SHOWN]
    if len(problems) > _SHOWN:
        yield f"{path.name}: {len(problems) - _SHOWN} more images that cannot be used"
    return looks


def _look(path: Path, decode: bool, entry: Entry) -> Picture | str:
    """An image's look, or why it has none."""
    with path.open("rb") as file:
        file.seek(entry.offset)
        data = file.read(entry.size)
    try:
        return pictures.look(data) if decode else pictures.glance(data)
    except pictures.BROKEN as error:
        return str(error)
