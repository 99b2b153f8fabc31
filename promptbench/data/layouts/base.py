"""What a layout reads and gives: samples, sources, drafts of cards, options."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from promptbench.data.cards.cards import DataCard
from promptbench.errors import UserError, first_problem


@dataclass(frozen=True, slots=True)
class Sample:
    """An image of a source: name (a path, unique in its split), label, and a stamp that changes
    when the image does."""

    name: str
    label: int
    stamp: str = ""


class ImageSource(ABC):
    """The images of a dataset, before they are shards."""

    @abstractmethod
    def samples(self, split: str) -> Sequence[Sample]:
        """All samples of a split in canonical order."""

    @abstractmethod
    def images(self, samples: Iterable[Sample], workers: int) -> Iterator[bytes]:
        """The encoded images of samples, in their order."""


@dataclass(frozen=True)
class Draft:
    """What a user's own source says about itself: the facts of its card.

    `texts`: the option that holds the source's own texts of the classes (names of folders, labels)
    in label order, if the order is open: the texts may be listed in another.
    """

    classes: list[str]
    splits: dict[str, int]
    options: dict[str, Any]
    template: str | None = None
    location: str | None = None  # where it is not the one that was given
    notes: list[str] = field(default_factory=list)
    texts: str | None = None


class LayoutOptions(BaseModel):
    """Base of the options that a layout reads from a card."""

    model_config = ConfigDict(extra="forbid", frozen=True)


OptionsT = TypeVar("OptionsT", bound=LayoutOptions)


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
