"""`promptbench data new`: the card of a user's own dataset, from what its source says."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli_w
from pydantic import ValidationError

from promptbench.data import layouts
from promptbench.data.cards import cards, listing, naming, twins
from promptbench.data.cards.cards import DataCard
from promptbench.data.cards.places import card_folders
from promptbench.data.layouts import Draft
from promptbench.data.layouts.shelf import Shelf
from promptbench.data.layouts.splits import split_named
from promptbench.data.shards import remote, shards, store
from promptbench.errors import UserError, first_problem
from promptbench.storage import reading
from promptbench.storage.files import write_whole
from promptbench.support.progress import Reporter

_TEMPLATE = "a photo of a {}."


@dataclass(frozen=True)
class Facts:
    """What the user says beyond the source; None where the source or a default speaks."""

    template: str | None = None
    title: str | None = None
    holdout: float | None = None
    classes: Path | None = None
    licence: str = "unknown"
    citation: str = "unknown"


def write(
    name: str, source: str, facts: Facts, listener: Reporter, replace: bool = False
) -> tuple[DataCard, Path]:
    """Look at a source ("folder:DIR", ...) and write its card into the user's card folder.

    `replace`: a card of the user's own that has this name already is written again, in its place.

    Raises:
        UserError: a name that is taken, a source that is not as its kind wants it, class names
            that do not fit, or samples that `promptbench data prepare` would refuse.
    """
    path = _place(name, replace)
    if not re.fullmatch(cards.NAME, name):
        raise UserError(
            f"{name!r} cannot name a dataset: use lower-case letters, digits and underscores, "
            "such as my_birds"
        )
    kind, colon, place = source.partition(":")
    if not colon or not place:
        kinds = ", ".join(f"{kind}:..." for kind in layouts.OWN_KINDS)
        raise UserError(f"--source {source!r} must say what kind of source it is: {kinds}")
    location = place if remote.is_url(place) else str(Path(place).expanduser().resolve())
    draft = _of_shards(location, listener) if kind == "wds" else None
    if draft is not None and facts.holdout is not None:
        raise UserError(
            f"{location} holds finished shards, whose splits are fixed; leave out --holdout"
        )
    if draft is None:
        draft = layouts.draft(kind, location, facts.holdout, listener)
    card = _card(name, kind, draft.location or location, draft, facts)
    _refuse_twins(card, listener)
    text = _text(card)
    if store.is_own_format(card):
        _check(card)
    own = card.source.options[draft.texts] if draft.texts else draft.classes or card.classes
    listener.message(naming.pairs(own, card.classes))
    prompts = [card.template.format(name.replace("_", " ")) for name in card.classes]
    listener.message(naming.first_prompt(card.classes, prompts))
    _tell_val_as_test(card, listener)
    write_whole(path, text)
    written = cards.read(path)
    _tell_shards(written, listener)
    return written, path


def _place(name: str, replace: bool) -> Path:
    """Where the card goes: its own old place, or the user's first card folder."""
    if name not in cards.names():
        return card_folders()[0] / f"{name}.toml"
    path = cards.path_of(name)
    if path.is_relative_to(cards.packaged()):
        raise UserError(
            f"a card {name!r} exists already, it comes with promptbench; choose another name"
        )
    if not replace:
        raise UserError(
            f"a card {name!r} exists already: {path}; --replace writes it again (shards that were "
            "prepared from it must be prepared again if anything changes), or choose another name"
        )
    return path


def _check(card: DataCard) -> None:
    """What `promptbench data prepare` checks before it writes, from the card as it will be.

    Raises:
        UserError: it would refuse the samples.
    """
    source = layouts.open_source(card, card.source.location, Reporter())
    for split in card.splits:
        samples = source.samples(split)
        listing.check(card, split, samples)
        listing.keys(samples)


def _tell_val_as_test(card: DataCard, listener: Reporter) -> None:
    """Say so if the validation split serves as the test split, for lack of one."""
    own = card.source.options.get("splits", {}).get("test")
    if isinstance(own, str) and split_named(own) == "val":
        listener.message(
            f"{card.source.location} has no test split; its split {own!r} is the test split of "
            f"{card.name}"
        )


def _tell_shards(card: DataCard, listener: Reporter) -> None:
    """Say so if shards lie where those of this card belong, and are another card's."""
    folder = store.folder_of(card, None)
    if not store.is_own_format(card) or not (folder / "index.json").is_file():
        return
    if shards.read_index(folder / "index.json").card_digest != card.digest:
        listener.message(
            f"{folder} holds the shards of the card as it was before: delete that folder, then run "
            f"`promptbench data prepare {card.name}`. Records of runs on them stay as they are; "
            "runs on the new shards are new cells"
        )


def _text(card: DataCard) -> bytes:
    content = card.model_dump(exclude_defaults=True)
    try:
        return tomli_w.dumps(content, multiline_strings=False).encode()
    except UnicodeEncodeError as error:
        raise UserError(
            f"no card can be written for {card.name!r}: {error.object[error.start :][:20]!r} in a "
            "name or path of its source is not UTF-8 text; rename it"
        ) from error


def _card(name: str, kind: str, location: str, draft: Draft, facts: Facts) -> DataCard:
    texts, classes = _named(draft, facts, location)
    options = draft.options | ({draft.texts: texts} if draft.texts else {})
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
        "classes": [unicodedata.normalize("NFC", " ".join(text.split())) for text in classes],
        "splits": draft.splits,
        "source": {"kind": kind, "location": location, "options": options},
    }
    _refuse_same_name(content["classes"], texts or draft.classes or classes, name)
    try:
        card = DataCard.model_validate(content)
    except ValidationError as error:
        problem = first_problem(error, "card")
        raise UserError(f"no card can be written for {name!r}: {problem}") from error
    if facts.classes is None and draft.texts:
        naming.refuse_bare(texts, card.classes, card.template)
    return card


def _refuse_same_name(classes: list[str], own: list[str], name: str) -> None:
    """Refuse two classes of one name; `own`: what the source calls them."""
    first: dict[str, str] = {}
    for text, words in zip(own, (given.replace("_", " ") for given in classes), strict=False):
        other = first.setdefault(words, text)
        if other is not text:
            raise UserError(
                f"no card can be written for {name!r}: {other!r} and {text!r} are both called "
                f"{words!r}; make one class of them, or name them apart with --classes FILE"
            )


def _refuse_twins(card: DataCard, listener: Reporter) -> None:
    """Refuse class names that are one prompt; those of finished shards cannot change any more."""
    if not (groups := twins.twins(card)):
        return
    if "shards" in card.source.options:
        listener.message(f"{card.name}: {twins.told(card, groups)}")
        return
    raise UserError(
        f"no card can be written for {card.name!r}: {twins.told(card, groups)}; make one class of "
        "them, or name them apart with --classes FILE"
    )


def _named(draft: Draft, facts: Facts, location: str) -> tuple[list[str], list[str]]:
    """What the source calls the classes, in label order, and their names."""
    texts = list(draft.options[draft.texts]) if draft.texts else []
    if facts.classes is None:
        if not draft.classes:
            raise UserError(f"{location} does not name its classes; pass --classes FILE")
        return texts, draft.classes
    lines = naming.read(facts.classes)
    if draft.texts:
        return naming.matched(lines, texts, draft.classes, str(facts.classes))
    return texts, naming.numbered(lines, draft.classes, str(facts.classes))


def _of_shards(location: str, listener: Reporter) -> Draft | None:
    """The draft of a folder that `promptbench data prepare` has written, None if it is another."""
    try:
        index = store.read_shared_index(location, listener, refresh=True)
    except remote.NotThere:
        return None
    template, notes = None, []
    try:
        text = Shelf(location, listener).text("card.toml")
        origin = reading.parse_toml(text)
        template = str(origin["template"])
        notes = [f"Shards of the card {index.name} (version {index.card_version})."]
    except (UserError, ValueError, KeyError):
        listener.message(f"{location} has no readable card.toml; its template is not known")
    return Draft(
        classes=index.classes,
        splits={split: part.count for split, part in index.splits.items()},
        options={"shards": index.digest},
        template=template,
        notes=notes,
    )
