"""A class list as methods receive it: text only, and plain data that plans and checks of records
handle without torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class ClassSet:
    """Class names in label order and the prompt template of their dataset: text, no identity.

    `texts` are sentences about each class, [n_classes] lists of one or more, in the order of names:
    only for a method that says that it uses them (`Method.class_texts`), else empty.

    Raises:
        ValueError: texts of another number of classes, or a class without any.
    """

    names: tuple[str, ...]
    template: str
    texts: tuple[tuple[str, ...], ...] = ()

    def __post_init__(self) -> None:
        if self.texts and (len(self.texts) != len(self.names) or not all(self.texts)):
            raise ValueError(
                f"texts of {sum(map(bool, self.texts))} classes for {len(self.names)} names"
            )

    def __len__(self) -> int:
        return len(self.names)

    def at(self, places: Sequence[int]) -> ClassSet:
        """The classes at these places, in this order, each with its texts."""
        names = tuple(self.names[place] for place in places)
        texts = tuple(self.texts[place] for place in places) if self.texts else ()
        return ClassSet(names, self.template, texts)

    @property
    def words(self) -> tuple[str, ...]:
        """The names as they are spoken: underscores become spaces."""
        return tuple(name.replace("_", " ") for name in self.names)

    @property
    def prompts(self) -> tuple[str, ...]:
        """The template filled with every name."""
        return tuple(self.template.format(words) for words in self.words)
