"""What can be checked of a record where the datasets' shards are at hand."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from promptbench.core.protocol import Source, Target
from promptbench.data import fewshot
from promptbench.data.cards.cards import DataCard
from promptbench.data.shards import shards, store
from promptbench.data.shards.shards import ShardSet
from promptbench.errors import UserError
from promptbench.leaderboard.checking import known
from promptbench.mixing.outlines import digest_of, digests
from promptbench.records import Record
from promptbench.records.predictions import Table
from promptbench.storage.reading import Unreadable


def at_hand(record: Record, root: Path | None) -> dict[str, ShardSet]:
    """The prepared datasets among those that a record has used; damaged ones count as absent.

    Raises:
        UserError: one may be there, in a folder that cannot be read.
    """
    found = {}
    for name in record.data:
        data = _opened(name, root, _written(known.card(name), root))
        if data is not None:
            found[name] = data
    return found


def _written(card: DataCard, root: Path | None) -> tuple[int, ...]:
    """When the index of a dataset was written; () where there is none."""
    try:
        state = (store.folder_of(card, root) / "index.json").stat()
    except OSError:
        return ()
    return state.st_mtime_ns, state.st_size, state.st_ino


@functools.lru_cache(maxsize=256)  # many records have used the same few
def _opened(name: str, root: Path | None, _: tuple[int, ...]) -> ShardSet | None:
    card = known.card(name)
    try:
        return shards.open_set(card, store.folder_of(card, root))
    except Unreadable:
        raise
    except UserError:
        return None


def reasons(
    record: Record,
    predictions: Mapping[str, Table],
    prepared: Mapping[str, ShardSet],
) -> Iterator[str]:
    """Differences from the prepared datasets: hashes, the few-shot subset, keys and labels.

    `predictions` by target key.
    """
    other = {
        name
        for name, data in prepared.items()
        if data.index.digest != record.data[name].shards_sha256
    }
    for name in sorted(other):
        yield f"{name}: made with other shards than those that lie here (hash differs)"
    for name in sorted(prepared.keys() - other):
        stored, said = prepared[name].index.resize_short, record.data[name].resize_short
        if stored != said:
            yield f"{name}: images stored at {said} pixels, it says; the shards say {stored}"
    source = prepared.get(record.source.dataset)
    if source is not None and record.source.dataset not in other:
        yield from _subset(record, source)
    for target in record.leg.targets:
        data = prepared.get(target.dataset)
        if data is not None and target.dataset not in other and target.key in predictions:
            yield from _labels(target, predictions[target.key], data)


def _subset(record: Record, data: ShardSet) -> Iterator[str]:
    source = record.leg.source
    drawn = _drawn(_Prepared(data.index.digest, data), source, record.seed)
    if digests(record).keys != drawn:
        yield f"the few-shot subset is not the one of seed {record.seed} with {source.shots} shots"


@dataclass(frozen=True)
class _Prepared:
    """A dataset, told from others by the hash of its shards."""

    digest: str
    data: ShardSet = field(compare=False)


@functools.lru_cache(maxsize=4096)  # all methods learn from the same few
def _drawn(prepared: _Prepared, source: Source, seed: int) -> str:
    """The digest of the keys of a seed's few-shot subset, in sampled order."""
    entries = shards.samples_of(prepared.data, "train")
    labels = source.labels_in(len(prepared.data.card.classes))
    chosen = fewshot.sample([entry.label for entry in entries], source.shots, seed)
    return digest_of([entries[index].key for index in chosen if entries[index].label in labels])


@functools.lru_cache(maxsize=16)  # of ImageNet's size, each takes some 5 MB
def _expected(prepared: _Prepared, target: Target) -> Mapping[str, int | None]:
    """The places of the labels of a target's images, by key."""
    n_classes = len(prepared.data.card.classes)
    labels = set(target.labels_in(n_classes))
    places = {label: place for place, label in enumerate(target.competing_in(n_classes))}
    return {
        entry.key: places.get(entry.label)
        for entry in shards.samples_of(prepared.data, target.split)
        if entry.label in labels
    }


def _labels(target: Target, table: Table, data: ShardSet) -> Iterator[str]:
    expected = _expected(_Prepared(data.index.digest, data), target)
    found = dict(zip(table.keys, table.columns["label"].tolist(), strict=True))
    if found.keys() != expected.keys():
        yield (
            f"{target.key}: predictions for {len(found)} images, of which "
            f"{len(found.keys() & expected.keys())} are among the {len(expected)} of the test set"
        )
    elif found != expected:
        wrong = sum(found[key] != label for key, label in expected.items())
        yield f"{target.key}: {wrong} labels are not those of the dataset"
