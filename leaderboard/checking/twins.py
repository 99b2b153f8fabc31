"""Records that repeat another one under another seed.

Two trainings with different seeds learn from different images, from a different start: their
losses, learned numbers and mistakes differ. Where they do not, one record is a copy of the other,
with what it says of itself written again. Zero-shot rows learn nothing and may repeat themselves.
"""

from __future__ import annotations

import functools
import itertools
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from promptbench.errors import UserError
from promptbench.leaderboard.checking import known, outlined
from promptbench.leaderboard.checking.cells import Entry, Key
from promptbench.mixing.outlines import digests
from promptbench.records import Record, TargetResult, confusion_sums, once
from promptbench.records.confusion_sums import Confusions
from promptbench.records.verify import read_table

# Of so many mistakes one may differ in a copy, and one image in any case; between seeds every
# sixth or more does.
ONE_IN = 20
_EXACT = ("learned parameters", "losses")


def pairs(entries: Sequence[Entry]) -> Iterator[tuple[int, int, str]]:
    """The places of two records that cannot be two trainings, and what is the same in both."""
    found: set[tuple[int, int]] = set()
    for i, j, what in itertools.chain(_with_equal_facts(entries), _with_equal_mistakes(entries)):
        if (i, j) not in found:
            found.add((i, j))
            yield i, j, what


class _Origin(NamedTuple):
    """What decides which numbers two records may share: most records have it in common."""

    seed: int
    learned_from: Key
    all_images: bool  # the few shots are the whole train split: then every seed has the same
    computed_with: Key


@once
def _origin(r: Record) -> _Origin:
    info = r.data.get(r.source.dataset)
    all_images = digests(r).images == known.card(r.source.dataset).splits.get("train", 0)
    computed_with = (
        r.backbone.sha256,
        r.environment.precision,
        info.shards_sha256 if info else None,
    )
    return _shared(_Origin(r.seed, _learned_from(r), all_images, computed_with))


@functools.lru_cache(maxsize=2**14)
def _shared(origin: _Origin) -> _Origin:
    """One object for all records that have it in common."""
    return origin


def _learned_from(record: Record) -> Key:
    source = record.leg.source
    labels = source.labels_in(len(known.card(source.dataset).classes))
    return (record.suite, source.dataset, tuple(labels), source.shots)


def _may_be_equal(a: _Origin, b: _Origin) -> bool:
    """Whether both score one training (by several rules or protocols), or learn from all images."""
    one_training = a.seed == b.seed and a.learned_from == b.learned_from
    return one_training or (a.all_images and b.all_images)


# --- what must not be equal at all ----------------------------------------------------------------


def _with_equal_facts(entries: Sequence[Entry]) -> Iterator[tuple[int, int, str]]:
    """Pairs with an equal fact; of many records that share it, each is paired with the first that
    it cannot share it with."""
    owners: dict[Key, dict[_Origin, list[int]]] = defaultdict(dict)
    for j, (_, record) in enumerate(entries):
        own = _origin(record)
        for what, fact in _facts(record):
            sharing = owners[what, fact]
            others = (
                found
                for origin, found in sharing.items()
                if not _may_be_equal(origin, own)
                or (what in _EXACT and origin.computed_with != own.computed_with)
            )
            yield from ((i, j, what) for i in sorted(itertools.chain.from_iterable(others)))
            sharing.setdefault(own, []).append(j)


def _facts(record: Record) -> Iterator[tuple[str, Key]]:
    done, told = record.training, digests(record)
    where = _origin(record).learned_from
    if done.parameters_sha256 is not None:
        yield "learned parameters", (done.parameters_sha256,)
        counts = tuple((t.key, *t.correct) for t in sorted(record.targets, key=lambda t: t.key))
        yield "counts of every class", (where[:3], counts)
    if told.losses:
        yield "losses", (told.losses,)
    yield "few-shot images", (where, told.subset)


# --- what must not be nearly equal ----------------------------------------------------------------


def _with_equal_mistakes(entries: Sequence[Entry]) -> Iterator[tuple[int, int, str]]:
    """Pairs whose labels and predictions are the same but for a few images, whatever their keys."""
    groups: dict[Key, list[int]] = defaultdict(list)
    for i, (_, record) in enumerate(entries):
        if record.training.parameters_sha256 is not None:
            sizes = tuple(sorted((t.key, *t.total) for t in record.targets))
            groups[(_origin(record).learned_from[:3], sizes)].append(i)
    for group in groups.values():
        for i, j in _near(entries, group):
            a, b = entries[i], entries[j]
            if not _may_be_equal(_origin(a[1]), _origin(b[1])) and (
                _moved(a, b) <= _most(a[1], b[1])
            ):
                yield i, j, "predictions, but for a few images"


def _near(entries: Sequence[Entry], group: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Pairs of a group that may be nearly equal, among them all that are.

    Every pair is looked at, in columns: first at how many images of each class are right, of which
    a moved image changes two at most; then at confusions that are put together to a few sums, which
    are not further apart than the confusions themselves.
    """
    right = np.array([_correct(entries[i][1]) for i in group], dtype=np.int32)
    mistakes = np.array([_mistakes(entries[i][1]) for i in group])
    sums: dict[int, np.ndarray] = {}

    def summed(place: int) -> np.ndarray:
        if place not in sums:
            sums[place] = _sums(entries[group[place]])
        return sums[place]

    for place, i in enumerate(group):
        later = slice(place + 1, None)
        most = np.maximum(1, np.maximum(mistakes[later], mistakes[place]) // ONE_IN)
        apart = np.abs(right[later] - right[place]).sum(axis=1)
        near = np.flatnonzero(apart <= 2 * most)
        if not near.size:
            continue
        others = np.stack([summed(place + 1 + int(k)) for k in near])
        close = np.abs(others - summed(place)).sum(axis=1) <= 2 * most[near]
        yield from ((i, group[place + 1 + int(k)]) for k in near[close])


def _sums(entry: Entry) -> np.ndarray:
    """The sums of a record's table of labels and predictions; NaN, which is near nothing, where it
    cannot be read."""
    told = digests(entry[1]).confusions
    if told:
        return confusion_sums.unpacked(told).astype(np.float32)
    try:
        return confusion_sums.summed(_confusions(*entry)).astype(np.float32)
    except UserError:  # predictions that are missing or damaged: said where each is judged
        return np.full(confusion_sums.SUMS, np.nan, dtype=np.float32)


def _correct(record: Record) -> np.ndarray:
    ordered = sorted(record.targets, key=lambda target: target.key)
    return np.array([count for target in ordered for count in target.correct])


def _mistakes(record: Record) -> int:
    return sum(sum(target.total) - sum(target.correct) for target in record.targets)


def _most(a: Record, b: Record) -> int:
    """How many images may have another prediction in a copy."""
    return max(1, max(map(_mistakes, (a, b))) // ONE_IN)


def _moved(first: Entry, other: Entry) -> float:
    """How many images have another prediction at least, by tables of labels and predictions."""
    try:
        x, y = (_confusions(*entry) for entry in (first, other))
    except UserError:  # predictions that are missing or damaged: said where each is judged
        return float("inf")
    return ((x - y) + (y - x)).total() / 2


def _confusions(path: Path, record: Record) -> Confusions:
    """How many images of a label were given which: as the record says it, which its predictions
    prove, where it says all; else as these say."""
    found: Confusions = Counter()
    for target in outlined.whole(path, record).targets:
        own = confusion_sums.of_target(target)
        found.update(_of_predictions(target, path) if own is None else own)
    return found


def _of_predictions(target: TargetResult, path: Path) -> Confusions:
    columns = read_table(target, path.parent).columns
    labels, predicted = (columns[name].tolist() for name in ("label", "predicted"))
    return Counter((target.key, *pair) for pair in zip(labels, predicted, strict=True))
