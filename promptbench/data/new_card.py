"""`promptbench data new`: the card of a user's own data set, from what its source says."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli_w
from pydantic import ValidationError

from promptbench.data import cards, layouts, remote, store
from promptbench.data.cards import DataCard
from promptbench.data.layouts import Draft, wds
from promptbench.data.places import card_folders
from promptbench.errors import UserError
from promptbench.progress import Reporter
from promptbench.storage import reading
from promptbench.storage.files import write_whole

_TEMPLATE = "a photo of a {}."
_MOST_NAMES = 16 * 2**20


@dataclass(frozen=True)
class Facts:
    """What the user says beyond the source; None where the source or a default speaks."""

    template: str | None = None
    title: str | None = None
    holdout: float | None = None
    classes: Path | None = None
    licence: str = "unknown"
    citation: str = "unknown"


def write(name: str, source: str, facts: Facts, listener: Reporter) -> tuple[DataCard, Path]:
    """Look at a source ("folder:DIR", ...) and write its card into the user's card folder.

    Raises:
        UserError: a name that is taken, a source that is not as its kind wants it, class names
            that do not fit.
    """
    if name in cards.names():
        raise UserError(
            f"a card {name!r} exists already: {cards.path_of(name)}; choose another name"
        )
    if not re.fullmatch(cards.NAME, name):
        raise UserError(
            f"{name!r} cannot name a data set: use lower-case letters, digits and underscores, "
            "such as my_birds"
        )
    kind, colon, place = source.partition(":")
    if not colon or not place:
        kinds = ", ".join(f"{kind}:..." for kind in layouts.OWN_KINDS)
        raise UserError(f"--source {source!r} must say what kind of source it is: {kinds}")
    location = place if remote.is_url(place) else str(Path(place).expanduser().resolve())
    draft = _of_shards(location, listener) if kind == "wds" else None
    if draft is None:
        draft = layouts.draft(kind, location, facts.holdout, listener)
    card = _card(name, kind, draft.location or location, draft, facts)
    path = card_folders()[0] / f"{name}.toml"
    text = tomli_w.dumps(card.model_dump(exclude_defaults=True), multiline_strings=False)
    write_whole(path, text.encode())
    return cards.read(path), path


def _card(name: str, kind: str, location: str, draft: Draft, facts: Facts) -> DataCard:
    classes = _names(facts.classes) if facts.classes is not None else draft.classes
    if not classes and facts.classes is not None:
        raise UserError(f"{facts.classes} names no class; write one name a line, in label order")
    if not classes:
        raise UserError(f"{location} does not name its classes; pass --classes FILE")
    if draft.classes and len(classes) != len(draft.classes):
        raise UserError(
            f"{facts.classes} names {len(classes)} classes, {location} has {len(draft.classes)}"
        )
    content: dict[str, Any] = {
        "name": name,
        "title": facts.title or name,
        "suite": "own",
        "version": 1,
        "template": facts.template or draft.template or _TEMPLATE,
        "description": f"{len(classes)} classes, from {kind}:{location}",
        "licence": facts.licence,
        "citation": facts.citation,
        "notes": draft.notes,
        "classes": [" ".join(text.split()) for text in classes],
        "splits": draft.splits,
        "source": {"kind": kind, "location": location, "options": draft.options},
    }
    try:
        return DataCard.model_validate(content)
    except ValidationError as error:
        problem = cards.first_problem(error, "card")
        raise UserError(f"no card can be written for {name!r}: {problem}") from error


def _names(path: Path) -> list[str]:
    try:
        data = reading.read_bytes(path.expanduser(), _MOST_NAMES, "the class names")
        lines = data.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise UserError(f"cannot read the class names {path}: {error}") from error
    return [line.strip() for line in lines if line.strip()]


def _of_shards(location: str, listener: Reporter) -> Draft | None:
    """The draft of a folder that `promptbench data prepare` has written, None if it is another."""
    try:
        index = store.read_shared_index(location, listener, refresh=True)
    except remote.NotThere:
        return None
    template, notes = None, []
    try:
        text = wds.file_of(location, "card.toml", listener).read_text(encoding="utf-8")
        origin = reading.parse_toml(text)
        template = str(origin["template"])
        notes = [f"Shards of the card {index.name} (version {index.card_version})."]
    except (remote.NotThere, ValueError, KeyError):
        listener.message(f"{location} has no readable card.toml; its template is not known")
    return Draft(
        classes=index.classes,
        splits={split: part.count for split, part in index.splits.items()},
        options={"shards": index.digest},
        template=template,
        notes=notes,
    )
