"""What a row mixes, and what keeps records from being compared: in words."""

from __future__ import annotations

import functools
import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from promptbench.mixing.facts import (
    DECISIONS,
    Facts,
    Key,
    Role,
    agreements,
    distinct,
    of_images,
    only_marked,
    stated,
)
from promptbench.mixing.words import brief
from promptbench.records import Record, once_for_alike

_MOST_PLACES = 6  # of a value in a footnote
_UNSTATED = "not stated"

_AROUND = "environment."
_PACKAGES = "environment.packages"

Lines = list[str]
Values = Mapping[str, Sequence[Record]]  # of a fact, each with the records that have it


def marks(row: Sequence[Record]) -> list[str]:
    """What the records of a row do not have in common and nevertheless share the row: each value
    with the seeds that have it; empty for a row whose records were all computed alike."""
    return _lines(_values(row), _places)


def between(a: Sequence[Record], b: Sequence[Record]) -> list[str]:
    """What the records of two sides, A and B, were not computed alike with; and what else each side
    mixes."""
    around = _lines(
        _values([*a, *b], lambda path: path.startswith(_AROUND)),
        lambda own, _: _sides(own, a, b),
    )
    for letter, side in (("A", a), ("B", b)):
        own = _values(side, lambda path: not path.startswith(_AROUND))
        around += [f"{letter}: {line}" for line in _lines(own, _places)]
    return around


def clash(a: Sequence[Record], b: Sequence[Record]) -> list[str]:
    """What keeps two sides, A and B, from being compared: other data, other test images."""
    one, other = (_images(side) for side in (a, b))
    found = []
    for (path, scope), value in one.items():
        again = other.get((path, scope), value)
        if value != again:
            both = [json.loads(each) for each in (value, again)]
            texts = brief([_text(path, each) for each in both])
            if len(set(texts)) == 1:  # as many images, other numbers of each class
                texts = brief([str(each) for each in both])
            which = f"{DECISIONS[path].name} of {' '.join(scope)}"
            found.append(f"{which}: {texts[0]} (A), {texts[1]} (B)")
    return found


def on_one_data(rows: Iterable[Sequence[Record]]) -> bool:
    """Whether rows, of which each is consistent, have seen the same data and test images."""
    first: dict[Key, str] = {}
    said = (
        item for own in distinct(agreements(r) for row in rows for r in row) for item in own.items()
    )
    return all(first.setdefault(k, v) == v for k, v in said if of_images(k[0]))


def _images(records: Sequence[Record]) -> Facts:
    """What records say of the images that they have seen."""
    said = (item for r in records for item in agreements(r).items())
    return {key: value for key, value in said if of_images(key[0])}


def _lines(found: Mapping[str, Values], place: Callable[[Sequence[Record], Values], str]) -> Lines:
    lines = []
    for name, values in found.items():
        if len(values) > 1:
            texts = zip(brief(list(values)), values.values(), strict=True)
            told = (f"{text} ({place(own, values)})" for text, own in texts)
            lines.append(f"{name} {', '.join(told)}")
    return lines


def _values(
    records: Sequence[Record], wanted: Callable[[str], bool] = lambda path: True
) -> dict[str, dict[str, list[Record]]]:
    """The values of the facts that records may differ in, by what footnotes call the fact."""
    alike: dict[int, tuple[_Said, list[Record]]] = {}
    for r in records:
        said = _said(r)
        alike.setdefault(id(said), (said, []))[1].append(r)
    packages = sorted({name for said, _ in alike.values() for name, _ in said.packages})
    unsaid = {key for said, _ in alike.values() for key in said.unsaid}
    found: dict[str, dict[str, list[Record]]] = defaultdict(lambda: defaultdict(list))
    for said, own in alike.values():
        for (path, scope), text in said.marking(unsaid):
            if not wanted(path):
                continue
            if path == _PACKAGES:
                versions = dict(said.packages)
                for name in packages:
                    found[name][versions.get(name, "absent")] += own
            else:
                about = f" of {' '.join(map(str, scope))}" if scope else ""
                found[DECISIONS[path].name + about][text] += own
    return {name: dict(sorted(values.items(), key=_first)) for name, values in found.items()}


class _Said(NamedTuple):
    """What a record says of the facts that others of its row may differ in: texts by fact; one
    object for all records that say the same, as most seeds of a row do."""

    packages: tuple[tuple[str, str], ...]
    marked: tuple[tuple[Key, str], ...]
    agreed: tuple[tuple[Key, str], ...]  # rows agree on them, where records say them
    unsaid: frozenset[Key]
    provider: str

    def marking(self, unsaid: set[Key]) -> Iterator[tuple[Key, str]]:
        """Its texts of what is marked; `unsaid` is what some record of the row does not say."""
        yield from self.marked
        for key, text in self.agreed:
            if key in unsaid or only_marked(self.provider, key[0]):
                yield key, text


@once_for_alike
def _said(r: Record) -> _Said:
    agreed = list(stated(r, Role.AGREE))
    packages = tuple(sorted(r.environment.packages.items()))
    marked = [
        (key, "" if key[0] == _PACKAGES else _text(key[0], value))
        for key, value in stated(r, Role.MARK)
    ]
    return _shared(
        _Said(
            packages,
            tuple(marked),
            tuple((key, _text(key[0], value)) for key, value in agreed),
            frozenset(key for key, value in agreed if value is None),
            r.method.provider,
        )
    )


@functools.lru_cache(maxsize=2**14)
def _shared(said: _Said) -> _Said:
    return said


def _first(item: tuple[str, Sequence[Record]]) -> tuple[int, str]:
    return min(r.seed for r in item[1]), item[0]


def _text(path: str, value: Any) -> str:
    if path == "config":
        return hashlib.sha256(str(value).encode()).hexdigest()
    if path == "targets.*.total":
        return str(sum(value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return _UNSTATED if value in (None, "") else str(value)


def _places(own: Sequence[Record], values: Values) -> str:
    """The seeds that have a value; with their datasets where a seed has several values."""
    seeds = {r.seed for r in own}
    others = {r.seed for records in values.values() if records is not own for r in records}
    if not seeds & others:
        return _seeds(own)
    places = sorted({(r.seed, r.source.dataset) for r in own})
    if len(places) > _MOST_PLACES:
        return f"{len(own)} records"
    return "; ".join(f"seed {seed} on {dataset}" for seed, dataset in places)


def _sides(own: Sequence[Record], a: Sequence[Record], b: Sequence[Record]) -> str:
    parts = []
    for letter, side in (("A", a), ("B", b)):
        here = [r for r in own if any(r is other for other in side)]
        if here:
            parts.append(letter if len(here) == len(side) else f"{letter}: {_seeds(here)}")
    return "; ".join(parts)


def _seeds(records: Sequence[Record]) -> str:
    seeds = sorted({r.seed for r in records})
    return f"{'seed' if len(seeds) == 1 else 'seeds'} {', '.join(map(str, seeds))}"
