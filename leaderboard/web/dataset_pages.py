"""The page of a dataset as plain data: what its card says, and who uses it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from promptbench.core.class_sets import STANDARD
from promptbench.data.cards.cards import Archive, DataCard
from promptbench.leaderboard.checking import known

UNKNOWN = "unknown"  # as cards say what no source says
_SHOWN = ("name", "title", "description", "classes")
_PREPARING = ("layout", "archives", "fingerprints", "source", "class_texts")
_CALLED = {
    "template": "prompt template ({}: the class name)",
    "asks_consent": "asks for consent before it is downloaded",
    "obtain": "where to get it",
    "splits": "images",
    "repeated_names": "class names that occur twice on purpose",
    "fingerprints": "few-shot subsets (SHA-256)",
}

Fact = tuple[str, str | list[str]]


def dataset_page(card: DataCard) -> dict[str, Any]:
    """A data card: every field that says something, those for whoever prepares it apart; classes by
    half, the protocols that use it."""
    n = len(card.classes)
    halves = {half: [card.classes[i] for i in STANDARD[half](n)] for half in ("base", "new")}
    own = card.model_dump(exclude=set(_SHOWN), exclude_none=True)
    own["archives"] = [_archive(archive) for archive in card.archives]
    own["splits"] = {name: f"{count:,}" for name, count in card.splits.items()}
    facts = {key: text for key, value in own.items() if (text := _plain(value))}
    preparing = {key: facts.pop(key) for key in _PREPARING if key in facts}
    return {
        "card": card,
        "facts": _named(facts),
        "preparing": [*_named(preparing), ("SHA-256 of the card", card.digest)],
        "used": _uses(card),
        **halves,
    }


def _named(facts: Mapping[str, str | list[str]]) -> list[Fact]:
    return [(_CALLED.get(key, key.replace("_", " ")), text) for key, text in facts.items()]


def _archive(archive: Archive) -> str:
    """A file of the owners: its size, hash and places, as far as sources say them."""
    facts = [archive.file]
    if not isinstance(archive.bytes, str):
        facts.append(f"{archive.bytes / 2**20:,.1f} MiB")
    if archive.remark:
        facts.append(archive.remark)
    if archive.sha256 != UNKNOWN:
        facts.append(f"SHA-256 {archive.sha256}")
    return ", ".join(facts) + (f": {' '.join(archive.urls)}" if archive.urls else "")


def _plain(value: Any) -> str | list[str]:
    """A field of a card as text, or as a list of texts; empty where it says nothing."""
    if isinstance(value, dict):
        return [f"{key}: {_line(each)}" for key, each in value.items() if each not in ("", {}, [])]
    if isinstance(value, list):
        return [_line(each) for each in value]
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value == UNKNOWN else str(value)


def _line(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_line(each)}" for key, each in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _uses(card: DataCard) -> list[dict[str, str]]:
    """The protocols whose sources or targets have this dataset, in its suite."""
    found = []
    for name in known.protocol_names():
        legs = known.legs(name, card.suite, 1)
        roles = [
            role
            for role, named in (
                ("source", {leg.source.dataset for leg in legs}),
                ("target", {t.dataset for leg in legs for t in leg.targets}),
            )
            if card.name in named
        ]
        if roles:
            title = known.protocol(name).cls.title
            found.append({"name": name, "title": title, "role": " and ".join(roles)})
    return found
