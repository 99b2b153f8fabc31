"""What a source lists, before it is written: checked against the card, its names made keys."""

from __future__ import annotations

import hashlib
import unicodedata
from collections import Counter
from collections.abc import Sequence
from pathlib import PurePosixPath

from promptbench.data.cards.cards import DataCard
from promptbench.data.layouts import Sample
from promptbench.errors import UserError

_LONGEST_KEY = 90  # bytes; a tar header holds 100


def check(card: DataCard, split: str, samples: Sequence[Sample]) -> None:
    """Refuse the samples of a split that are not what the card says.

    Raises:
        UserError: a name, a label or a count that cannot be.
    """
    where = f"{card.name}/{split}"
    odd = [s.name for s in samples if not s.name.isprintable() and _is_no_text(s.name)]
    if odd:
        raise UserError(f"{where}: rename {odd[0]!r}: its name is not UTF-8 text of one line")
    counted = Counter(sample.label for sample in samples)
    strange = [label for label in counted if not 0 <= label < len(card.classes)]
    if strange:
        raise UserError(
            f"{where}: label {strange[0]} is out of range; the card has {len(card.classes)} classes"
        )
    empty = [name for label, name in enumerate(card.classes) if not counted[label]]
    if empty:
        lack = "1 class has" if len(empty) == 1 else f"{len(empty)} classes have"
        raise UserError(
            f"{where}: {lack} no image, the first is {empty[0]!r}; each class needs an image in "
            "every split (two for a hold-out): add some, or take the class out of all splits"
        )
    if len(samples) != card.splits[split]:
        remedy = "; if that is meant, `promptbench data new ... --replace` writes the card again"
        raise UserError(
            f"{where} has {len(samples)} samples, but its card says {card.splits[split]}"
            + (remedy if card.suite == "own" else "")
        )


def _is_no_text(name: str) -> bool:
    return any(unicodedata.category(letter) in ("Cc", "Cs") for letter in name)


def keys(samples: Sequence[Sample]) -> list[str]:
    """Unique keys from names: without the suffix unless it is needed, without dots, short enough.

    Raises:
        UserError: the same name twice.
    """
    stems = [str(PurePosixPath(sample.name).with_suffix("")) for sample in samples]
    several = {stem for stem, count in Counter(stems).items() if count > 1}
    made = [
        _key(sample.name if stem in several else stem)
        for sample, stem in zip(samples, stems, strict=True)
    ]
    twice = [key for key, count in Counter(made).items() if count > 1]
    if twice:
        raise UserError(f"two samples have the key {twice[0]!r}; rename one")
    return made


def _key(name: str) -> str:
    key = name.replace("%", "%25").replace(".", "%2e")
    if len(key.encode()) <= _LONGEST_KEY:
        return key
    digest = hashlib.sha256(name.encode()).hexdigest()[:16]
    return f"{key.encode()[: _LONGEST_KEY - 17].decode(errors='ignore')}-{digest}"
