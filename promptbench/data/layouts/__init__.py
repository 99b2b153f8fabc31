"""Importers: where a data set's images come from, one module per kind of source.

A module has `open_source(card, location, listener)`, and where users may bring data of that kind
also `draft(location, holdout, listener)`, which says what a card needs to know.
"""

from __future__ import annotations

import importlib
import random
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from promptbench.data.cards import DataCard, first_problem
from promptbench.errors import UserError
from promptbench.progress import Reporter

_MODULES = {
    "generated": "generated",
    "coop": "coop",
    "aircraft": "aircraft",
    "folder": "folder",
    "csv": "csv_table",
    "hf": "hf",
    "wds": "wds",
}
OWN_KINDS = ("folder", "csv", "hf", "wds")
WHOLE = "all"  # the split of a source that is divided by a hold-out


@dataclass(frozen=True, slots=True)
class Sample:
    """An image of a source: name (a path, unique in its split), label, and a stamp that changes
    when the image does."""

    name: str
    label: int
    stamp: str = ""


class Source(ABC):
    """The images of a data set, before they are shards."""

    @abstractmethod
    def samples(self, split: str) -> Sequence[Sample]:
        """All samples of a split in canonical order."""

    @abstractmethod
    def images(self, samples: Iterable[Sample], workers: int) -> Iterator[bytes]:
        """The encoded images of samples, in their order."""


@dataclass(frozen=True)
class Draft:
    """What a user's own source says about itself: the facts of its card."""

    classes: list[str]
    splits: dict[str, int]
    options: dict[str, Any]
    template: str | None = None
    location: str | None = None  # where it is not the one that was given
    notes: list[str] = field(default_factory=list)


class Options(BaseModel):
    """Base of the options that a layout reads from a card."""

    model_config = ConfigDict(extra="forbid", frozen=True)


OptionsT = TypeVar("OptionsT", bound=Options)


def options_of(card: DataCard, model: type[OptionsT]) -> OptionsT:
    """The options on a card, checked.

    Raises:
        UserError: an option that is missing, unknown or of the wrong type.
    """
    try:
        return model.model_validate(card.source.options)
    except ValidationError as error:
        problem = first_problem(error, "options")
        raise UserError(f"data card {card.name!r}: source.options.{problem}") from error


def open_source(card: DataCard, location: str, listener: Reporter) -> Source:
    """The images of a card's data set at a location (a path; a URL for some kinds)."""
    module = importlib.import_module(f"{__name__}.{_MODULES[card.source.kind]}")
    source: Source = module.open_source(card, location, listener)
    return source


def draft(kind: str, location: str, holdout: float | None, listener: Reporter) -> Draft:
    """What a card of a user's own source must say.

    Raises:
        UserError: no such kind, or a source that is not as the kind wants it.
    """
    if kind not in OWN_KINDS:
        raise UserError(f"unknown kind of source {kind!r}; known: {', '.join(OWN_KINDS)}")
    module = importlib.import_module(f"{__name__}.{_MODULES[kind]}")
    made: Draft = module.draft(location, holdout, listener)
    return made


def divided(samples: Sequence[Sample], fraction: float) -> dict[str, list[Sample]]:
    """Train and test parts of a source without splits of its own, both in canonical order.

    Of every class `fraction` of the images (at least one, not all) is drawn for the test split,
    from one stream of Python's generator seeded with 0.
    """
    stream = random.Random(0)
    groups: dict[int, list[int]] = {}
    for position, sample in enumerate(samples):
        groups.setdefault(sample.label, []).append(position)
    held: set[int] = set()
    for positions in groups.values():
        count = min(max(round(len(positions) * fraction), 1), len(positions) - 1)
        held.update(stream.sample(positions, count))
    train = [sample for position, sample in enumerate(samples) if position not in held]
    return {"train": train, "test": [samples[position] for position in sorted(held)]}


def with_holdout(
    listing: Mapping[str, list[Sample]], fraction: float | None
) -> dict[str, list[Sample]]:
    """A listing whose one split `WHOLE` is divided, if a hold-out is asked for."""
    return dict(listing) if fraction is None else divided(listing[WHOLE], fraction)


def splits_found(
    named: Sequence[str], holdout: float | None, where: str, hint: str
) -> dict[str, str]:
    """Our split -> the source's own name of it; `named` are the names that the source has.

    Raises:
        UserError: no test split and no hold-out that could make one.
    """
    aliases = {"train": "train", "val": "val", "validation": "val", "valid": "val", "test": "test"}
    found: dict[str, str] = {}
    for name in named:
        if name in aliases:
            found.setdefault(aliases[name], name)
    if holdout is not None:
        if "test" in found:
            raise UserError(f"{where} has a test split of its own; leave --holdout away")
        if len(named) != 1:
            raise UserError(f"{where} has several splits ({', '.join(named)}); nothing to hold out")
        return {WHOLE: named[0]}
    if "test" not in found and set(found) == {"train", "val"}:
        return {"train": found["train"], "test": found["val"]}
    if "test" not in found:
        raise UserError(
            f"{where} has no test split ({hint}); pass --holdout 0.3 to draw one from its images"
        )
    return found


def label_order(labels: Set[str], where: str) -> list[str]:
    """Label texts in label order: numbers as numbers, names as they sort.

    Raises:
        UserError: numbers that do not run from 0 without gaps.
    """
    if not all(label.isascii() and label.isdigit() for label in labels):
        return sorted(labels)
    ordered = sorted(labels, key=int)
    if [int(label) for label in ordered] != list(range(len(ordered))):
        raise UserError(
            f"{where}: numeric labels must run from 0 without gaps; there are {len(ordered)}, "
            f"the last is {ordered[-1]}"
        )
    return ordered


def counts(listing: Mapping[str, Sequence[Sample]]) -> dict[str, int]:
    """Images per split, in the order train, val, test."""
    return {split: len(listing[split]) for split in ("train", "val", "test") if split in listing}
