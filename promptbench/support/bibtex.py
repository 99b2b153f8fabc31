"""BibTeX entries as text: keys that are unique, characters that LaTeX takes as they are meant."""

from __future__ import annotations

import itertools
import re
import string
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from promptbench.support.safe_text import printable

_ESCAPES = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "{": r"\{",
        "}": r"\}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
    }
    | {character: f"\\{character}" for character in "&%$#_"}
)
_PLAIN_FIELDS = (
    "url",
    "eprint",
    "archivePrefix",
    "doi",
    "year",
)  # whose text styles print as it is
_ENTRY = re.compile(r"@(\w+)\s*\{\s*([^\s,{}]+)\s*,")


@dataclass(frozen=True)
class Entry:
    """A work: `key` as it is wished, plain `fields`; `authors` are surnames, "others" the last.

    `raw` is a whole entry that somebody else has written, in the place of all of these.
    """

    key: str
    fields: Mapping[str, str] = field(default_factory=dict)
    authors: tuple[str, ...] = ()
    raw: str = ""


def escaped(text: str) -> str:
    """Text for a field that LaTeX sets: its special characters stand for themselves."""
    return printable(text).translate(_ESCAPES)


def text_of(entries: Iterable[Entry]) -> str:
    """Return entries as BibTeX, a blank line between them; equal keys get a letter."""
    return "\n".join(keyed_texts(entries).values())


def keyed_texts(entries: Iterable[Entry]) -> dict[str, str]:
    """Return the BibTeX of each entry by its key, in their order; equal keys get a letter."""
    return {key: _text(entry, key) for entry, key in _keyed(entries)}


def parsed_key(text: str) -> str | None:
    """The key of a text that is one whole entry; None where it is not."""
    found = _ENTRY.match(text)
    if found is None:
        return None
    depth = 0
    for position, character in enumerate(text):
        escape = position > 0 and text[position - 1] == "\\"
        depth += {"{": 1, "}": -1}.get("" if escape else character, 0)
        if depth == 0 and position >= found.end():
            return found[2] if not text[position + 1 :].strip() else None
    return None


def _keyed(entries: Iterable[Entry]) -> Iterator[tuple[Entry, str]]:
    used: set[str] = set()
    for entry in entries:
        wished = _key(entry.key)
        letters = itertools.chain([""], string.ascii_lowercase, map(str, itertools.count(1)))
        key = next(k for k in (f"{wished}{letter}" for letter in letters) if k.lower() not in used)
        used.add(key.lower())
        yield entry, key


def _key(wished: str) -> str:
    """A key of characters that every BibTeX takes."""
    ascii_only = unicodedata.normalize("NFKD", wished).encode("ascii", "ignore").decode()
    return re.sub(r"[^\w:./+-]+", "", ascii_only) or "work"


def _text(entry: Entry, key: str) -> str:
    if entry.raw:
        return _ENTRY.sub(lambda found: f"@{found[1]}{{{key},", entry.raw.strip(), count=1) + "\n"
    fields = {"title": f"{{{escaped(entry.fields['title'])}}}"}
    if entry.authors:
        names = [n if n == "others" else f"{{{escaped(n)}}}" for n in entry.authors]
        fields["author"] = " and ".join(names)
    for name, value in entry.fields.items():
        if name != "title" and value:
            fields[name] = _unescaped(value) if name in _PLAIN_FIELDS else escaped(value)
    lines = [f"  {name} = {{{value}}}," for name, value in fields.items()]
    return "\n".join([f"@misc{{{key},", *lines, "}\n"])


def _unescaped(value: str) -> str:
    """An address or number as it is; only what would end the field is written in another way."""
    return re.sub(r"[{}\\\s]", lambda found: f"%{ord(found[0]):02X}", printable(value))
