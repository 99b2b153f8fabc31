"""What distinguishes the rows of a table, in words: only what differs, short."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from promptbench.mixing.facts import DECISIONS, Facts, Key, agreements, as_json, of_images
from promptbench.mixing.rows import Variant, variant_of
from promptbench.mixing.variants import spelled
from promptbench.records import Record
from promptbench.support.prose import counted

_HASH = re.compile(r"\b[0-9a-f]{12,64}\b")
_SHORTEST, _LONGEST = 6, 64  # characters of a hash: as many as tell it from others
_MOST = 60  # characters of a value
_MOST_NAMED = 2  # datasets in a label
_DERIVED = {  # said where nothing else distinguishes rows
    "data.*.card_version",
    "method.learned_parameters",
    "training.epochs",
    "training.steps",
    "targets.*.total",
}

Row = Sequence[Record]


def labels(rows: Sequence[Row]) -> list[list[str]]:
    """What has to be said of each of the rows of a table, beside title, inference rule, preset,
    limit and changed settings: the size of its images if it is not the usual one, and in what it
    differs from others."""
    variants = [variant_of(records[0]) for records in rows]
    said = [_said(records) for records in rows]
    told = _told(variants, said)
    contested = [
        {key: values for key in facts if len(values := told[_group(key, own)]) > 1}
        for own, facts in zip(variants, said, strict=True)
    ]
    main = [
        {k: v for k, v in each.items() if k[0] not in _DERIVED and not _follows(k, each, said)}
        for each in contested
    ]
    around = [
        [*_origin(own, variants), *_stored(own, records)]
        for own, records in zip(variants, rows, strict=True)
    ]
    short = [
        [*before, *_differing(facts, told or all_)]
        for before, facts, told, all_ in zip(around, said, main, contested, strict=True)
    ]
    alike = Counter((own, *texts) for own, texts in zip(variants, short, strict=True))
    return [
        texts if alike[own, *texts] == 1 else [*before, *_differing(facts, all_)]
        for own, texts, before, facts, all_ in zip(
            variants, short, around, said, contested, strict=True
        )
    ]


def _follows(key: Key, contested: Collection[Key], said: Sequence[Facts]) -> bool:
    """Whether the images of a dataset tell no more rows apart than its card does."""
    card = ("data.*.card_sha256", key[1])
    if key[0] != "data.*.shards_sha256" or card not in contested:
        return False
    pairs = {(facts.get(card), facts[key]) for facts in said if key in facts}
    return len(pairs) == len({card for card, _ in pairs})


def _origin(own: Variant, variants: Sequence[Variant]) -> list[str]:
    """Whose method it is, where others have its name; which one, where others have its title."""
    namesakes = {v.method for v in variants if v.title == own.title}
    providers = sorted({v.provider for v in variants if v.method == own.method})
    return [
        *([f"method {own.method}"] if len(namesakes) > 1 else []),
        *([f"provider {brief([own.provider, *providers])[0]}"] if len(providers) > 1 else []),
    ]


def _told(
    variants: Sequence[Variant], said: Sequence[Facts]
) -> dict[tuple[Any, ...], dict[str, None]]:
    """The values of each fact in the rows that it has to distinguish, by `_group`."""
    found: dict[tuple[Any, ...], dict[str, None]] = defaultdict(dict)
    for own, facts in zip(variants, said, strict=True):
        for key, value in facts.items():
            found[_group(key, own)][value] = None
    return found


def _group(key: Key, own: Variant) -> tuple[Any, ...]:
    """A fact with what the rows have in common that it has to distinguish."""
    if of_images(key[0]) or key[0].startswith("protocol."):  # of rows of all methods
        return key, own.limit, own.stored
    return key, own


def _said(records: Row) -> Facts:
    """What the records of a row say together."""
    return {key: value for r in records for key, value in agreements(r).items()}


def _stored(own: Variant, records: Row) -> list[str]:
    sizes = {name: info.resize_short for r in records for name, info in r.data.items()}
    if not own.stored:
        return []
    if len(set(sizes.values())) == 1:
        return [f"images stored at {own.stored[0]} pixels"]
    return [f"{name} stored at {size} pixels" for name, size in sizes.items() if size is not None]


def _differing(own: Facts, contested: Mapping[Key, Collection[str]]) -> list[str]:
    """Labels for the facts of a row that have several values, `contested`, among rows."""
    texts: dict[str, None] = {}
    of_data: dict[str, list[str]] = defaultdict(list)
    for (path, scope), values in contested.items():
        value, name = own[path, scope], DECISIONS[path].name
        if path.startswith("data."):
            which = " ".join((name, *scope[1:]))
            of_data[scope[0]].append(f"{which} {_among(value, values)}")
        elif path.startswith("targets."):
            texts[f"{scope[0]}: {_target(name, value, values)}"] = None
        elif name == "settings":
            texts |= dict.fromkeys(_settings(json.loads(value), [*map(json.loads, values)]))
        else:
            told = _among(value, values)
            texts[f"{told} {name}" if name in ("epochs", "steps") else f"{name} {told}"] = None
    if len(of_data) > _MOST_NAMED:
        return [*texts, f"data {_digest(as_json(of_data))} of {len(of_data)} datasets"]
    return [*texts, *(f"{name}: {', '.join(parts)}" for name, parts in of_data.items())]


def _target(name: str, value: str, values: Iterable[str]) -> str:
    if name != "images":
        return f"{name} {json.loads(value)}"
    sizes = [sum(json.loads(each)) for each in values]
    others = "" if len(set(sizes)) == len(sizes) else f" ({_digest(value)} by class)"
    return counted(sum(json.loads(value)), "image") + others


def _settings(own: Mapping[str, Any], others: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for name in sorted({name for each in others for name in each}):
        if len({as_json(each.get(name)) for each in others}) > 1:
            (value,) = brief([spelled(repr(own.get(name)))])
            yield f"{name} = {value}" if name in own else f"without {name}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:_SHORTEST]


def brief(texts: Sequence[str]) -> list[str]:
    """Texts with their hashes cut to as many characters as tell them apart, and long ones to their
    beginning and a hash of their own."""
    hashes = {match for text in texts for match in _HASH.findall(text)}
    length = _SHORTEST
    while length < _LONGEST and len({h[:length] for h in hashes}) < len(hashes):
        length += 2
    short = (_HASH.sub(lambda match: match[0][:length], text) for text in texts)
    return [t if len(t) <= _MOST else f"{t[: _MOST // 2]}... ({_digest(t)})" for t in short]


def _among(value: str, values: Iterable[str]) -> str:
    """A value, as JSON, in words that tell it from others."""
    texts = [str(json.loads(each)) for each in (value, *values)]
    return brief(texts)[0]
