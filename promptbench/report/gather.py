"""Records as tables want them: read from disk, with the legs that they cover."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import cache, partial
from pathlib import Path
from typing import TypeVar

from promptbench import records as store
from promptbench.config import suites
from promptbench.core.protocol import Leg, Source, Target
from promptbench.core.registry import PROTOCOLS
from promptbench.errors import UserError, unknown
from promptbench.mixing.outlines import Kinds, Outline
from promptbench.records import Record, scores
from promptbench.records.verify import are_counted
from promptbench.report.index import Index, Indexed, indexed, state_of
from promptbench.storage.ahead import over
from promptbench.storage.remembered import Remembered
from promptbench.support.progress import Reporter
from promptbench.support.safe_text import printable

R = TypeVar("R", bound=Record)
Read = tuple[R, bool]  # a record, and whether all of its predictions are there


def read(
    places: Sequence[Path], memory: Remembered | None = None, reporter: Reporter | None = None
) -> tuple[list[Record], list[str], int]:
    """The records under `places`, of each that no table can be made of the reason, and how many
    records lack predictions that their counts could be compared with; `memory` knows what was
    compared before, and `reporter` hears how far it is."""
    return _gathered(places, lambda path, refuse: _whole(path, memory, refuse), reporter)


def outlines(
    places: Sequence[Path],
    memory: Remembered,
    index: Index,
    reporter: Reporter | None = None,
    metrics: Sequence[str] | None = None,
) -> tuple[list[Outline], list[str], int]:
    """The outlines of records as `read`, of which one is in memory at a time; those that are in the
    `index` are taken from there. `metrics` are those that are wanted next, as `scores.load_all`
    takes them."""
    kinds = Kinds()

    def look(path: Path, refuse: Callable[[Record], None]) -> Read[Outline]:
        known = _indexed(path, memory, index, refuse)
        outline = kinds.of(known.kind, known.own)
        refuse(outline)
        return outline, known.counted

    ahead = partial(_look, index.path, None if metrics is None else tuple(metrics))
    through = partial(over, look=ahead, memory=memory, reporter=reporter, known=index.knows)
    return _gathered(places, look, reporter, through)


def _look(
    index: Path, metrics: tuple[str, ...] | None, paths: Sequence[Path], memory: Remembered
) -> None:
    """Find out what `outlines` is going to ask; what is wrong with a record is left to it."""
    own, kinds = Index(index), Kinds()
    try:
        for path in paths:
            with suppress(UserError):
                known = _indexed(path, memory, own, lambda _: None)
                if metrics is not None:
                    record = kinds.of(known.kind, known.own)
                    scores.find_values(metrics, record, path.parent, memory)
    finally:
        own.close()


def _indexed(
    path: Path, memory: Remembered, index: Index, refuse: Callable[[Record], None]
) -> Indexed:
    known = index.get(path)
    if known is None:
        before = state_of(path)
        known = indexed(*_whole(path, memory, refuse))
        index.put(path, before, known)
    return known


def _whole(path: Path, memory: Remembered | None, refuse: Callable[[Record], None]) -> Read[Record]:
    record, digest = store.read_hashed(path, memory)
    refuse(record)
    return record, are_counted(record, path.parent, memory, digest)


def _gathered(
    places: Sequence[Path],
    look: Callable[[Path, Callable[[Record], None]], Read[R]],
    reporter: Reporter | None,
    through: Callable[[Sequence[Path]], Iterable[Path]] = iter,
) -> tuple[list[R], list[str], int]:
    found, unread, unchecked = [], [], 0
    known = cache(_refuse_unknown)  # many records name the same few

    def refuse(record: Record) -> None:
        known(record.protocol.name, record.suite)

    paths = store.find(places)
    with (reporter or Reporter()).task("reading", len(paths), "records") as task:
        for path in through(paths):
            try:
                record, counted = look(path, refuse)
            except UserError as error:
                reason = str(error)
                unread.append(reason if str(path) in reason else f"{path}: {reason}")
            else:
                found.append(record)
                unchecked += not counted
            task.advance()
    return found, unread, unchecked


def _refuse_unknown(protocol: str, suite: str) -> None:
    """Refuse a protocol or a suite that is not known here."""
    if protocol not in PROTOCOLS.names():
        raise unknown("protocol", protocol, PROTOCOLS.names(), "name its file with --plugin")
    PROTOCOLS.load(protocol)
    suites.load(suite)


def weights_called(r: Record, among: Sequence[Record]) -> str:
    """How a record's weights are called: by their name, with the start of their hash where another
    file among the records has it too, and with what is unusual about how images enter."""
    own = r.backbone
    namesakes = {
        other.backbone.sha256
        for other in among
        if (other.backbone.name, other.backbone.weights) == (own.name, own.weights)
    }
    several = len(namesakes | {own.sha256}) > 1
    sizes = {o.backbone.image_size for o in among if o.backbone.sha256 == own.sha256}
    size = [f"{own.image_size} pixels"] if len(sizes | {own.image_size}) > 1 else []
    name = f"{own.weights} {own.sha256[:8]}" if several else own.weights
    words = [name, *size, *own.preprocess.marks]
    return ", ".join(words)


def backbone_called(r: Record, among: Sequence[Record]) -> str:
    """How a record's backbone is called: its architecture, and its weights in parentheses."""
    return printable(f"{r.backbone.name} ({weights_called(r, among)})")


def legs_of(records: Iterable[Record], usual: Sequence[Leg] = ()) -> list[Leg]:
    """The legs that records cover, in the order of the `usual` ones; others follow as they come."""
    found: dict[Source, dict[Target, None]] = {}
    for record in records:
        found.setdefault(record.leg.source, {}).update(dict.fromkeys(record.leg.targets))
    order: dict[str, int] = {}
    sources: dict[str, int] = {}
    for leg in usual:
        sources.setdefault(leg.source.key, len(sources))
        for name in (leg.source.dataset, *(target.dataset for target in leg.targets)):
            order.setdefault(name, len(order))

    def place(dataset: str) -> int:
        return order.get(dataset, len(order))

    legs = [
        Leg(source, tuple(sorted(targets, key=lambda target: place(target.dataset))))
        for source, targets in found.items()
    ]

    def places(source: Source) -> tuple[int, int, int]:
        return source.shots, sources.get(source.key, len(sources)), place(source.dataset)

    return sorted(legs, key=lambda leg: places(leg.source))
