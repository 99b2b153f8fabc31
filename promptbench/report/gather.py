"""Records as tables want them: read from disk, with the legs that they cover."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Generic, TypeVar

from promptbench import records as store
from promptbench.config import suites
from promptbench.core.protocol import Leg, Source, Target
from promptbench.core.registry import PROTOCOLS
from promptbench.errors import UserError, unknown, with_path
from promptbench.mixing.outlines import Kinds, Outline
from promptbench.records import Record, scores
from promptbench.records.scores import File, folders_of
from promptbench.records.verify import DamagedPredictions, are_counted
from promptbench.report.index import Index, Indexed, indexed, state_of
from promptbench.storage.ahead import over
from promptbench.storage.database import unheard
from promptbench.storage.remembered import Remembered
from promptbench.support.progress import Reporter
from promptbench.support.safe_text import printable

R = TypeVar("R", bound=Record)
Refuse = Callable[[Record], None]
Read = tuple[R, bool]  # a record, and whether all of its predictions are there


@dataclass(frozen=True)
class Gathered(Generic[R]):
    """Records by the paths of their files, in the order of these.

    `unread` says of each other record why it is not among them, and `unchecked` is how many lack
    predictions that their counts could be compared with.
    """

    by_path: dict[Path, R]
    unread: list[str]
    unchecked: int

    @property
    def records(self) -> list[R]:
        return list(self.by_path.values())

    def all(self) -> dict[Path, R]:
        """The records by path, where none was left out.

        Raises:
            UserError: why the first one was.
        """
        if self.unread:
            raise UserError(self.unread[0])
        return self.by_path

    def folders(self) -> dict[File, Path]:
        """Find the predictions of these records, of those that are there."""
        return folders_of((record, path.parent) for path, record in self.by_path.items())


def usual_refusal() -> Refuse:
    """Refuse records of a protocol or a suite that is not known here: no table is made of them."""
    known = cache(_refuse_unknown)  # many records name the same few
    return lambda record: known(record.protocol.name, record.suite)


def anything(_: Record) -> None:
    """Refuse no record, also of a protocol or a suite that is not known here."""


def read(
    places: Sequence[Path],
    memory: Remembered | None = None,
    reporter: Reporter | None = None,
    refuse: Refuse | None = None,
) -> Gathered[Record]:
    """Gather the records under `places`.

    Args:
        places: folders, or files of records.
        memory: what was compared before.
        reporter: hears how far it is.
        refuse: raises UserError for a record that is not wanted; by default `usual_refusal`.
    """
    refuse = refuse or usual_refusal()
    return _gathered(places, lambda path: _whole(path, memory, refuse), reporter)


def outlines(
    places: Sequence[Path],
    memory: Remembered,
    index: Index,
    reporter: Reporter | None = None,
    metrics: Sequence[str] | None = None,
    refuse: Refuse | None = None,
) -> Gathered[Outline]:
    """Gather the outlines of records as `read`, of which one is in memory at a time; those that are
    in the `index` are taken from there. `metrics` are those that are wanted next, as
    `scores.load_all` takes them."""
    kinds, refuse = Kinds(), refuse or usual_refusal()

    def look(path: Path) -> Read[Outline]:
        known = _indexed(path, memory, index, refuse)
        outline = kinds.of(known.kind, known.own)
        refuse(outline)
        return outline, known.counted

    ahead = partial(_look, index.path, None if metrics is None else tuple(metrics))
    through = partial(
        over,
        look=ahead,
        memory=memory,
        reporter=reporter,
        known=index.knows,
        expect=index.expect,
    )
    return _gathered(places, look, reporter, through)


def readable(
    found: Mapping[Path, R], read: Callable[[R], object]
) -> tuple[dict[Path, R], list[str]]:
    """Find the records of whose predictions `read` reads all that it needs, and why it does not of
    each other one, as `Gathered.unread` says it."""
    kept, unread = {}, []
    for path, record in found.items():
        try:
            read(record)
        except DamagedPredictions as error:
            unread.append(with_path(error, path))
        else:
            kept[path] = record
    return kept, unread


def _look(
    index: Path, metrics: tuple[str, ...] | None, paths: Sequence[Path], memory: Remembered
) -> None:
    """Find out what `outlines` is going to ask; what is wrong with a record is left to it."""
    own, kinds = Index(index, unheard), Kinds()
    own.expect(paths)
    try:
        for path in paths:
            with suppress(UserError):
                known = _indexed(path, memory, own, anything)
                if metrics is not None:
                    record = kinds.of(known.kind, known.own)
                    scores.find_values(metrics, record, path.parent, memory)
    finally:
        own.close()


def _indexed(path: Path, memory: Remembered, index: Index, refuse: Refuse) -> Indexed:
    known = index.get(path)
    if known is None:
        before = state_of(path)
        known = indexed(*_whole(path, memory, refuse))
        index.put(path, before, known)
    return known


def _whole(path: Path, memory: Remembered | None, refuse: Refuse) -> Read[Record]:
    record, digest = store.read_hashed(path, memory)
    refuse(record)
    return record, are_counted(record, path.parent, memory, digest)


def _gathered(
    places: Sequence[Path],
    look: Callable[[Path], Read[R]],
    reporter: Reporter | None,
    through: Callable[[Sequence[Path]], Iterable[Path]] = iter,
) -> Gathered[R]:
    found: dict[Path, R] = {}
    unread, unchecked = [], 0
    paths = store.find(places)
    with (reporter or Reporter()).task("reading", len(paths), "records") as task:
        for path in through(paths):
            try:
                found[path], counted = look(path)
            except UserError as error:
                unread.append(with_path(error, path))
            else:
                unchecked += not counted
            task.advance()
    return Gathered(found, unread, unchecked)


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
