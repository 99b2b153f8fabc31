"""Facts that records have in common: where one of them says otherwise, they cannot both be right.

Each is a key, such as a method's name, and what must be the same wherever the key occurs.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from promptbench import mixing
from promptbench.core.protocol import Target
from promptbench.core.registry import BUILT_IN
from promptbench.errors import UserError
from promptbench.leaderboard.checking import cells, titles
from promptbench.leaderboard.checking.cells import Entry, Key
from promptbench.mixing.outlines import digests
from promptbench.records import Record, TargetResult
from promptbench.records.verify import read_table

Fact = tuple[Key, Any, str]  # the key, what must be equal, what it is in words


def disagreements(
    entries: Sequence[Entry], standing: Sequence[bool]
) -> Iterator[tuple[int, int, str]]:
    """The places of two records that disagree, and in what.

    Where a record that stands (`standing`, by place) says something of a key, all others are
    compared with it, not with each other.
    """
    told: dict[Key, dict[str, int]] = defaultdict(dict)
    rows: dict[Key, int] = {}
    numbers = [rows.setdefault(cells.row_of(record), len(rows)) for _, record in entries]
    for i, (_, record) in enumerate(entries):
        for key, value, _ in facts(record, numbers[i]):
            text = _text(value)
            first = told[key].setdefault(text, i)
            if standing[i] and not standing[first]:
                told[key][text] = i
    contested = {key: own for key, own in told.items() if len(own) > 1}
    for i, (_, record) in enumerate(entries) if contested else ():
        for key, value, what in facts(record, numbers[i]):
            if key not in contested:
                continue
            text = _text(value)
            agrees = standing[contested[key][text]]
            others = [j for other, j in contested[key].items() if other != text]
            stand = [j for j in others if standing[j]]
            if standing[i] or not agrees:
                yield from ((i, j, what) for j in (stand or ([] if agrees else others))[:1])


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True, default=str)


def facts(r: Record, row: int) -> Iterator[Fact]:
    """What a record says that others may not contradict; `row` is the number of its row."""
    own, source = r.method, r.source
    for what in ("provider", "title", "paper", "paradigm"):
        yield ("method", what, own.name), getattr(own, what), f"the {what} of {own.name}"
    if own.extra_data is not None:
        key = ("method", "extra_data", own.name, own.parameters.get("class_texts"))
        yield key, own.extra_data, f"what {own.name} learns from"
    settings = (own.name, json.dumps(own.parameters, sort_keys=True, default=str))
    learned = r.leg.source
    size = (*settings, r.backbone.sha256, learned.key, learned.labels, learned.shots)
    yield ("learned", *size), own.learned_parameters, f"the number that {own.name} learns"
    yield ("image size", r.backbone.sha256), r.backbone.image_size, "the backbone's image size"
    entering = r.backbone.preprocess.departures
    yield ("entering", r.backbone.sha256), entering, "the preprocessing of the backbone"
    for (path, scope), value in mixing.agreements(r).items():
        yield ("row", row, path, *scope), value, _what(path, scope, own.name)
    for name, info in r.data.items():
        if info.shards_sha256:
            yield ("stored", name, info.shards_sha256), info.resize_short, f"the size of {name}"
    stored = {name: info.shards_sha256 for name, info in r.data.items()}
    used = (stored.get(source.dataset), learned, r.seed)
    yield ("few shots", *used), digests(r).keys, f"the few-shot images of seed {r.seed}"
    for t, asked in zip(r.targets, r.leg.targets, strict=True):
        yield ("images", *_images(r, asked)), t.total, f"the test images of {t.key}"


def _what(path: str, scope: Key, method: str) -> str:
    name = mixing.DECISIONS[path].name
    if path.startswith(("data.", "targets.")):
        return f"the {name} of {' '.join(map(str, scope))}"
    return f"the {name} of {method}" + (f" on {scope[0]}" if scope else "")


class Witnesses:
    """Records whose predictions say which images a test set holds, by what they have scored."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        self._having: dict[Key, list[tuple[Path, TargetResult]]] = defaultdict(list)
        for path, record in entries:
            for target, asked in zip(record.targets, record.leg.targets, strict=True):
                self._having[_images(record, asked)].append((path, target))
        self._labels: dict[Key, tuple[Path, dict[str, int]] | None] = {}

    def against(self, entry: Entry) -> Iterator[str]:
        """Targets whose images or labels are not those of another record of the same stored images.

        What can be said where the dataset itself is not at hand.
        """
        path, record = entry
        for target, asked in zip(record.targets, record.leg.targets, strict=True):
            first = self._first(_images(record, asked))
            if first is not None and first[1] != _labels(target, path):
                yield f"the images or labels of {target.key} are not those of {first[0]}"

    def _first(self, wanted: Key) -> tuple[Path, dict[str, int]] | None:
        """The first record of these images whose predictions can be read, and their labels."""
        if wanted not in self._labels:
            read = ((path, _labels(target, path)) for path, target in self._having.get(wanted, ()))
            self._labels[wanted] = next(((p, own) for p, own in read if own is not None), None)
        return self._labels[wanted]


def _images(record: Record, target: Target) -> Key:
    info = record.data.get(target.dataset)
    stored = info.shards_sha256 if info else None
    return (stored, target.key, target.split, target.labels, target.competing)


def _labels(target: TargetResult, path: Path) -> dict[str, int] | None:
    """The label of each image; None where the predictions are absent or damaged."""
    try:
        table = read_table(target, path.parent)
    except UserError:  # said where the record is judged by itself
        return None
    return dict(zip(table.keys, table.columns["label"].tolist(), strict=True))


def lookalikes(entries: Sequence[Entry]) -> Iterator[tuple[int, int]]:
    """The places of two records: the title of the first one's method, a plugin, reads like that of
    the second one's, whose name is another."""
    first: dict[tuple[str, str, str], int] = {}
    for i, (_, r) in enumerate(entries):
        first.setdefault((r.method.name, r.method.title, r.method.provider), i)
    for (name, title, provider), i in first.items():
        for (other, taken, _), j in first.items():
            if provider != BUILT_IN and other != name and titles.mentions(title, taken):
                yield i, j
