"""Names that are taken: nobody else's row may look like a row of promptbench.

Two titles look alike if they read the same without what a reader overlooks: case, spaces,
brackets and what stands in them, invisible characters, accents. A letter that only resembles
another one (Cyrillic, Greek, ...) stands for any letter here, and so do 0, 1 and 5 for o, l and s.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from functools import cache, lru_cache

from promptbench.core.registry import BUILT_IN
from promptbench.leaderboard.checking import known
from promptbench.records import Record

_BRACKETS = re.compile(r"\([^()]*\)|\[[^\[\]]*\]|\{[^{}]*\}|<[^<>]*>")
_UNSEEN = ("Mn", "Cf", "Cc", "Co", "Cs")
_ANY = "?"  # a letter that may be taken for any other
_LOOKS_LIKE = str.maketrans({"0": "o", "1": "l", "i": "l", "|": "l", "5": "s"})
_TWO_AS_ONE = (("rn", "m"), ("vv", "w"))
_PRAISE = {"our", "ours", "official", "original", "published", "verified", "reproduced", "best"}
_FILLERS = "\u115f\u1160"  # letters without a shape (NFKD makes these of others)
_MOST_WORDS = 40  # of a title that is compared; nobody reads further


@lru_cache(maxsize=4096)  # each title is compared with all that are taken
def words(title: str) -> tuple[str, ...]:
    """The words of a title as a reader sees them; `+` and `-` are parts of words."""
    text = unicodedata.normalize("NFKD", title).casefold()
    kept = "".join(c for c in text if unicodedata.category(c) not in _UNSEEN and c not in _FILLERS)
    bare = _BRACKETS.sub(" ", kept)
    found = "".join(map(_seen, bare if bare.strip() else kept))
    for two, one in _TWO_AS_ONE:
        found = found.replace(two, one)
    return tuple(word for part in found.split() if (word := part.strip("-")))[:_MOST_WORDS]


def _seen(character: str) -> str:
    if character.isascii():
        plain = character.translate(_LOOKS_LIKE)
        return plain if plain.isalnum() or plain in "+-" else " "
    if character == "\u2010":  # a hyphen (NFKD makes other hyphens of it); dashes join nothing
        return "-"
    if (
        unicodedata.category(character)[0] in "LN"
        and unicodedata.east_asian_width(character) != "W"
    ):
        return _ANY
    return character if character.isalnum() else " "


def alike(text: str, taken: str) -> bool:
    """Whether a text as a whole reads as a taken one."""
    return _same(words(text), words(taken))


def mentions(title: str, taken: str) -> bool:
    """Whether a title reads as a taken one, in whole or with words before or after it."""
    whole = re.sub(r"[()]", " ", taken)  # "CLIP (zero-shot)" is more than CLIP
    own, theirs = words(title), words(whole)
    bare = [part for word in own for part in word.split("-") if part not in _PRAISE_SEEN]
    n = len(theirs)
    return alike(title, taken) or any(_same(part, theirs) for part in (own[:n], own[-n:], bare))


def _same(one: Sequence[str], other: Sequence[str]) -> bool:
    """Whether words read the same, however they are joined."""
    a, b = ("".join(each).replace("-", "") for each in (one, other))
    if not a or len(a) != len(b):
        return False
    return all(x == y or _ANY in (x, y) for x, y in zip(a, b, strict=True))


_PRAISE_SEEN = {word for praise in _PRAISE for word in words(praise)}


@cache
def reserved() -> tuple[str, ...]:
    """The titles and names of promptbench's own methods, as papers print them, too.

    A method that only papers print may be brought by anybody: its row says by whom.
    """
    taken = []
    for name in sorted(known.method_names()):
        if known.provider_of_method(name) == BUILT_IN:
            taken += [known.stated(name, "title"), name]
    return tuple(dict.fromkeys(taken))


def reasons(record: Record) -> Iterator[str]:
    """Names of promptbench or of papers in the record of somebody else's method."""
    own = record.method
    if own.provider != BUILT_IN:  # `settings_checks` compares ours with the method itself
        yield from _against(own.provider, own.title, own.name)


@lru_cache(maxsize=4096)  # all records of a method have the same ones
def _against(provider: str, title: str, name: str) -> list[str]:
    found = []
    if claims_to_be_ours(provider):
        found.append(f"the provider {provider!r} reads like promptbench itself")
    if not words(title):
        found.append(f"the title {title!r} cannot be read")
    for taken in reserved():
        if alike(name, taken):
            found.append(_taken("name", name, taken))
        elif mentions(title, taken):
            found.append(_taken("title", title, taken))
    return found


def _taken(what: str, text: str, taken: str) -> str:
    return (
        f"the {what} {text!r} reads like {taken!r}, which is taken; a method needs a name of its "
        "own (a title may mention another one if a hyphen joins them)"
    )


def claims_to_be_ours(provider: str) -> bool:
    """Whether the provider of a plugin reads like promptbench: its package, not a longer name."""
    package = provider.split(",")[0].strip()
    return any(alike(text, BUILT_IN) for text in (package, package.rsplit(" ", 1)[0]))
