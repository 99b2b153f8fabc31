"""`promptbench data verify`: every hash and every count of a prepared data set, recomputed."""

from __future__ import annotations

import tarfile
from collections.abc import Generator, Iterator
from pathlib import Path

from promptbench.data import shards
from promptbench.data.shards import IMAGE_EXTENSIONS, Entry, ShardSet
from promptbench.errors import UserError
from promptbench.progress import Reporter


def differences(data: ShardSet, listener: Reporter) -> Iterator[str]:
    """Everything that is not as the index says, one sentence each; nothing if all is well."""
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
    with listener.task(
        f"verify {data.card.name}", sum(len(s.shards) for s in splits.values()), "shards"
    ) as task:
        for split, index in splits.items():
            entries = yield from _manifest(data, split)
            for name, sha256 in index.shards.items():
                yield from _shard(data, name, sha256, entries)
                task.advance()


def _strange_files(data: ShardSet) -> Iterator[str]:
    expected = {"index.json", "card.toml"}
    for split, index in data.index.splits.items():
        expected |= {shards.manifest_name(split), *index.shards}
    for path in sorted(data.folder.iterdir()):
        fetching = data.fetch is not None and path.name.startswith(".")  # perhaps another process
        if path.name not in expected and not fetching:
            yield f"{path.name}: this file does not belong to the data set"


def _manifest(data: ShardSet, split: str) -> Generator[str, None, list[Entry] | None]:
    """Problems of a manifest; returns its entries, as far as they can be read."""
    try:
        return data.manifest(split)
    except UserError as error:
        yield str(error).partition(";")[0]
        return None


def _shard(data: ShardSet, name: str, sha256: str, entries: list[Entry] | None) -> Iterator[str]:
    path = data.path_of(name, sha256)
    if not path.is_file():
        yield f"{name}: missing"
        return
    if shards.sha256_of(path) != sha256:
        yield f"{name}: sha256 differs"
    try:
        found = _members(path)
    except (tarfile.TarError, OSError, EOFError, ValueError, KeyError) as error:
        yield f"{name}: not readable to its end ({error})"
        return
    if entries is not None:
        listed = {e.key: (e.label, e.offset, e.size) for e in entries if e.shard == name}
        for key in sorted(listed.keys() | found.keys()):
            if listed.get(key) != found.get(key):
                yield f"{name}: sample {key} is not as the manifest says"


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
