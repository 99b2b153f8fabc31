"""What a row mixes, and what keeps records from being compared: in words."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

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
from promptbench.records import Record

_MOST_PLACES = 6  # of a value in a footnote
_UNSTATED = "not stated"

_AROUND = "environment."

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
    packages = sorted({name for r in records for name in r.environment.packages})
    agreed = [list(stated(r, Role.AGREE)) for r in records]
    unsaid = {key for own in agreed for key, value in own if value is None}
    found: dict[str, dict[str, list[Record]]] = defaultdict(lambda: defaultdict(list))
    for r, own in zip(records, agreed, strict=True):
        for (path, scope), value in _marking(r, own, unsaid):
            if not wanted(path):
                continue
            if path == "environment.packages":
                for name in packages:
                    found[name][value.get(name, "absent")].append(r)
            else:
                about = f" of {' '.join(map(str, scope))}" if scope else ""
                found[DECISIONS[path].name + about][_text(path, value)].append(r)
    return {name: dict(sorted(values.items(), key=_first)) for name, values in found.items()}


def _first(item: tuple[str, Sequence[Record]]) -> tuple[int, str]:
    return min(r.seed for r in item[1]), item[0]


def _marking(
    r: Record, agreed: Iterable[tuple[Key, Any]], unsaid: set[Key]
) -> Iterator[tuple[Key, Any]]:
    """What a record may differ in, of all that it says and what it agrees on with its row."""
    yield from stated(r, Role.MARK)
    for key, value in agreed:
        if key in unsaid or only_marked(r.method.provider, key[0]):
            yield key, value


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
