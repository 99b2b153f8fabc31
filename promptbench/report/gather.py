"""Which records may stand in one table, and which of them count."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from promptbench import records as store
from promptbench import suites
from promptbench.errors import UserError
from promptbench.protocol import Leg, Source, Target
from promptbench.records import Record
from promptbench.registry import PROTOCOLS
from promptbench.verify import are_counted

Variant = tuple[str, str, str, tuple[str, ...], int]  # what may not share a row


def read(places: Sequence[Path]) -> tuple[list[Record], list[str], int]:
    """The records under `places`, of each that no table can be made of the reason, and how many
    records lack predictions that their counts could be compared with."""
    found, unread, unchecked = [], [], 0
    for path in store.find(places):
        try:
            record = store.read(path)
            PROTOCOLS.load(record.protocol.name)
            suites.load(record.suite)
            unchecked += not are_counted(record, path.parent)
        except UserError as error:
            reason = str(error)
            unread.append(reason if str(path) in reason else f"{path}: {reason}")
        else:
            found.append(record)
    return found, unread, unchecked


def variant_of(r: Record) -> Variant:
    """Method, inference, preset, changed settings and limit: records differing here never mix."""
    return (r.method.name, r.inference, r.preset, (*r.overrides, *r.data_marks), r.limit or 0)


def by_variant(records: Iterable[Record]) -> dict[Variant, list[Record]]:
    """The records of each row."""
    found: dict[Variant, list[Record]] = defaultdict(list)
    for record in records:
        found[variant_of(record)].append(record)
    return dict(found)


def groups(records: Iterable[Record]) -> list[list[Record]]:
    """Records that may share a table: one suite, protocol version, backbone, weights, precision and
    preprocessing; and one number of shots, unless the protocol shows several together."""
    found: dict[tuple[Any, ...], list[Record]] = defaultdict(list)
    for r in records:
        together = PROTOCOLS.load(r.protocol.name).cls.shots_together
        key = (
            r.suite,
            r.protocol.name,
            r.protocol.version,
            r.backbone.name,
            r.backbone.sha256,
            r.backbone.preprocess.marks,
            None if together else r.source.shots,
            r.environment.precision,
        )
        found[key].append(r)
    return list(found.values())


def weights_called(r: Record, among: Iterable[Record]) -> str:
    """How a record's weights are called: by their name, with the start of their hash where another
    file among the records has it too, and with what is unusual about how images enter."""
    own = r.backbone
    namesakes = {
        other.backbone.sha256
        for other in among
        if (other.backbone.name, other.backbone.weights) == (own.name, own.weights)
    }
    several = len(namesakes | {own.sha256}) > 1
    words = [f"{own.weights} {own.sha256[:8]}" if several else own.weights, *own.preprocess.marks]
    return ", ".join(words)


def latest(records: Iterable[Record]) -> list[Record]:
    """The records of a group without those that newer ones of the same cell replace, oldest first.

    A newer record that has scored fewer targets leaves the older one in place for the others.
    """
    kept: list[Record] = []
    scored: dict[tuple[Any, ...], set[str]] = defaultdict(set)
    for r in sorted(records, key=lambda record: record.created, reverse=True):
        of_cell = scored[
            (variant_of(r), r.source.dataset, r.source.classes, r.source.shots, r.seed)
        ]
        targets = {target.key for target in r.targets}
        if not targets <= of_cell:
            kept.append(r)
            of_cell |= targets
    return kept[::-1]


def legs_of(records: Iterable[Record], usual: Sequence[Leg] = ()) -> list[Leg]:
    """The legs that records cover, in the order of the `usual` ones; others follow as they come."""
    found: dict[Source, dict[Target, None]] = {}
    for record in records:
        s = record.source
        targets = found.setdefault(Source(s.dataset, s.classes, s.shots), {})
        for t in record.targets:
            targets[Target(t.dataset, t.classes, t.shift, t.split, t.names)] = None
    order: dict[str, int] = {}
    for leg in usual:
        for name in (leg.source.dataset, *(target.dataset for target in leg.targets)):
            order.setdefault(name, len(order))

    def place(dataset: str) -> int:
        return order.get(dataset, len(order))

    legs = [
        Leg(source, tuple(sorted(targets, key=lambda target: place(target.dataset))))
        for source, targets in found.items()
    ]
    return sorted(legs, key=lambda leg: (leg.source.shots, place(leg.source.dataset)))
