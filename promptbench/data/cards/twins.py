"""Class names that are one prompt: their texts differ, but not what the text tower reads.

open_clip's tokenizer repairs Unicode, resolves HTML entities and lowers the case before it cuts a
text into tokens. Two classes with the same tokens have the same text features, so that of those
only the first can win.
"""

from __future__ import annotations

import functools
from collections.abc import Hashable, Iterable, Sequence

from promptbench.core.class_list import ClassSet
from promptbench.data.cards.cards import DataCard

_USUAL = "ViT-B-16-quickgelu"  # whose vocabulary all CLIPs of OpenAI's kind share
_SHOWN = 3  # groups in a message


def twins(card: DataCard, backbone: str = _USUAL) -> list[list[int]]:
    """Groups of labels whose names are one prompt for a backbone, without those that the card
    declares as repeated names."""
    classes = ClassSet(tuple(card.classes), card.template)
    return [list(group) for group in _groups(classes, backbone, frozenset(card.repeated_names))]


def told(card: DataCard, groups: Sequence[Sequence[int]]) -> str:
    """Which classes are one prompt, and which of them can never win."""
    found = []
    for group in groups[:_SHOWN]:
        names = [f"{card.classes[label]!r} (class {label})" for label in group]
        never = " and ".join(repr(card.classes[label]) for label in group[1:])
        found.append(f"{', '.join(names)}; {never} can never win against the first")
    more = f"; and {len(groups) - _SHOWN} more" if len(groups) > _SHOWN else ""
    return f"class names that are one and the same prompt for CLIP: {'; '.join(found)}{more}"


@functools.cache
def _groups(
    classes: ClassSet, backbone: str, declared: frozenset[str]
) -> tuple[tuple[int, ...], ...]:
    """All groups that are not declared; the tokenizer is loaded only where one may be."""

    def alike(keys: Iterable[Hashable]) -> tuple[tuple[int, ...], ...]:
        groups = _alike(keys)
        return tuple(g for g in groups if any(classes.words[label] not in declared for label in g))

    spelt = ["".join(filter(str.isalnum, words.lower())) for words in classes.words]
    plain = all(map(str.isascii, classes.words)) and "&" not in "".join(classes.words)
    if plain and not alike(spelt):  # equal tokens spell equal letters and digits
        return ()
    from promptbench.models.backbones import load_tokenizer

    encode = load_tokenizer(backbone).encode
    return alike(tuple(encode(prompt)) for prompt in classes.prompts)


def _alike(keys: Iterable[Hashable]) -> tuple[tuple[int, ...], ...]:
    """The positions of equal keys, where there are several."""
    found: dict[Hashable, list[int]] = {}
    for position, key in enumerate(keys):
        found.setdefault(key, []).append(position)
    return tuple(tuple(group) for group in found.values() if len(group) > 1)
