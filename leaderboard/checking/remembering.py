"""What a verdict on a single record depends on, as a key under which it is remembered.

A verdict holds for the bytes of the record and of its predictions, beside the datasets that are at
hand, by this code. One that hangs on code which is not promptbench's is never remembered: a plugin
may change under the same version.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from promptbench import records as store
from promptbench.core.registry import BUILT_IN
from promptbench.errors import UserError
from promptbench.leaderboard.checking import known
from promptbench.records import Record
from promptbench.records.verify import check_files, hash_of, recompute
from promptbench.storage import remembered
from promptbench.storage.remembered import Remembered
from promptbench.support.safe_text import printable, shown_path

if TYPE_CHECKING:
    from promptbench.leaderboard.checking.verdicts import State


def key_of(record: Record, digest: str, folder: Path, root: Path | None) -> str | None:
    """The key of the verdict on a record, whose file has this SHA-256; None where none may be kept.

    Predictions and shards are hashed, or their hashes read, as they lie there now.
    """
    from promptbench.leaderboard.checking import shard_checks

    cards = _cards(record)
    if cards is None:
        return None
    try:
        files = {target.key: hash_of(target, folder) for target in record.targets}
        prepared = shard_checks.at_hand(record, root)
    except UserError:  # the verdict says so
        return None
    shards = {name: (d.index.digest, d.index.resize_short) for name, d in prepared.items()}
    return remembered.key_of("verdict", digest, files, cards, shards, _provider(record))


def key_of_settings(record: Record, digest: str) -> str | None:
    """The key of what a record, whose file has this SHA-256, says of itself: settings, ids, text;
    None where nothing may be kept."""
    cards = _cards(record)
    if cards is None:
        return None
    return remembered.key_of("settings", digest, cards, _provider(record))


def settings_problem(path: Path, record: Record, digest: str, memory: Remembered) -> str:
    """Check that a record, whose file has this SHA-256, does not contradict itself.

    Returns:
        Why settings and ids were not checked; "" if they were.

    Raises:
        UserError: in what it contradicts itself.
    """
    key = key_of_settings(record, digest)
    found = memory.get(key) if key is not None else None
    if found is None:
        from promptbench.leaderboard.checking.checks import (  # with torch
            contradictions,
            underivable,
        )

        for reason in contradictions(record):
            raise UserError(f"{shown_path(path)}: {printable(reason)}")
        found = underivable(record) or ""
        if key is not None:
            memory.put(key, found)
    return found


def validated(path: Path, memory: Remembered) -> tuple[Record, str]:
    """The record of a file, once everything in it and beside it is found to fit; and why settings
    and ids were not checked, "" if they were.

    Raises:
        UserError: what does not fit.
    """
    record, digest = store.read_hashed(path, memory)
    check_files(record, path.parent)
    recompute(record, path.parent, memory, digest)
    return record, settings_problem(path, record, digest, memory)


def validate_ahead(paths: Sequence[Path], memory: Remembered) -> None:
    """Find out what `validated` is going to ask of `memory`; what does not fit is left to it."""
    for path in paths:
        with suppress(UserError):
            validated(path, memory)


def _provider(record: Record) -> str | None:
    return known.provider_of_method(record.method.name)


def _cards(record: Record) -> dict[str, str] | None:
    """The hashes of the cards of a record's datasets; None where one is missing, or where code that
    is not promptbench's has a say."""
    method, protocol = record.method.name, record.protocol.name
    others = {known.provider_of_method(method), known.provider_of_protocol(protocol)}
    datasets = [record.source.dataset, *record.data, *(t.dataset for t in record.targets)]
    if others - {None, BUILT_IN} or record.protocol.selection not in known.own_selections():
        return None
    if not set(datasets) <= known.dataset_names():
        return None
    try:
        return {name: known.card(name).digest for name in datasets}
    except UserError:  # whoever checks the record says so
        return None


def packed(state: State, notes: tuple[str, ...]) -> str:
    """A verdict that is no refusal, as text."""
    return json.dumps([state, *notes])


def unpacked(text: str) -> tuple[State, tuple[str, ...]]:
    """State and notes of a verdict, from its text."""
    state, *notes = json.loads(text)
    return state, tuple(notes)
