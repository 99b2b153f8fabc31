"""What can be checked of a record where the datasets' shards are at hand."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from pathlib import Path

from promptbench.core.protocol import Target
from promptbench.data import fewshot
from promptbench.data.cards.cards import DataCard
from promptbench.data.shards import shards, store
from promptbench.data.shards.shards import ShardSet
from promptbench.errors import UserError
from promptbench.leaderboard.checking import known
from promptbench.records import Record
from promptbench.records.predictions import Table


def at_hand(record: Record, root: Path | None) -> dict[str, ShardSet]:
    """The prepared datasets among those that a record has used; damaged ones count as absent."""
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
    entries, source = shards.samples_of(data, "train"), record.leg.source
    labels = source.labels_in(len(data.card.classes))
    chosen = fewshot.sample([entry.label for entry in entries], source.shots, record.seed)
    expected = [entries[index].key for index in chosen if entries[index].label in labels]
    if expected != record.source.keys:
        yield f"the few-shot subset is not the one of seed {record.seed} with {source.shots} shots"


def _labels(target: Target, table: Table, data: ShardSet) -> Iterator[str]:
    n_classes = len(data.card.classes)
    labels = set(target.labels_in(n_classes))
    places = {label: place for place, label in enumerate(target.competing_in(n_classes))}
    expected = {
        entry.key: places.get(entry.label)
        for entry in shards.samples_of(data, target.split)
        if entry.label in labels
    }
    found = dict(zip(table.keys, table.columns["label"].tolist(), strict=True))
    if found.keys() != expected.keys():
        yield (
            f"{target.key}: predictions for {len(found)} images, of which "
            f"{len(found.keys() & expected.keys())} are among the {len(expected)} of the test set"
        )
    elif found != expected:
        wrong = sum(found[key] != label for key, label in expected.items())
        yield f"{target.key}: {wrong} labels are not those of the dataset"
