"""The page of a dataset as plain data: what its card says, and who uses it."""

from __future__ import annotations

from typing import Any

from promptbench.core.class_sets import STANDARD
from promptbench.data.cards.cards import DataCard
from promptbench.leaderboard import known

_SHOWN = ("name", "title", "description", "classes")


def dataset_page(card: DataCard) -> dict[str, Any]:
    """A data card: every field that it has, classes by half, the protocols that use it."""
    n = len(card.classes)
    halves = {half: [card.classes[i] for i in STANDARD[half](n)] for half in ("base", "new")}
    facts = {
        key.replace("_", " "): text
        for key, value in card.model_dump(exclude=set(_SHOWN), exclude_none=True).items()
        if (text := _plain(value))
    }
    facts["SHA-256"] = card.digest
    return {"card": card, "facts": list(facts.items()), "used": _uses(card), **halves}


def _plain(value: Any) -> str | list[str]:
    """A field of a card as text, or as a list of texts."""
    if isinstance(value, dict):
        return [f"{key}: {_line(each)}" for key, each in value.items() if each not in ("", {}, [])]
    if isinstance(value, list):
        return [_line(each) for each in value]
    return str(value)


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
