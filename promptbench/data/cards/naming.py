"""Which name is which class: a file of class names beside the folders or labels of a source.

A file has one name a line, in label order, or "FOLDER<tab>NAME" lines. Names that say which folder
is meant are matched by that, in whatever order they stand; others by position, in the natural order
of the folders or labels (2 before 10). What could be meant in two ways is refused.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.cells import cell_len, set_cell_size

from promptbench.data.layouts import order
from promptbench.errors import UserError
from promptbench.storage import reading

_REMEDY = "write each line as FOLDER<tab>CLASS NAME (FOLDER: what the source calls the class)"
_MOST_NAMES = 2**26  # bytes of a file of class names
_MOST_PAIRS = 24  # that are shown one by one
_FIRST, _LAST = 12, 4
_WIDTH = 30  # of either side of a pair, in terminal cells


def read(path: Path) -> list[str]:
    """The lines of a file of class names, each trimmed at its ends, without empty ones.

    Raises:
        UserError: it cannot be read, or names nothing.
    """
    try:
        data = reading.read_bytes(path.expanduser(), _MOST_NAMES, "the class names")
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(
            f"cannot read the class names {path}: not UTF-8 text (byte {error.start} is "
            f"{error.object[error.start]:#04x}); save it as UTF-8"
        ) from error
    lines = [unicodedata.normalize("NFC", line.strip()) for line in text.splitlines()]
    if not any(lines):
        raise UserError(f"{path} names no class; write one name a line, in label order")
    return [line for line in lines if line]


def matched(
    lines: Sequence[str], texts: Sequence[str], known: Sequence[str], where: str
) -> tuple[list[str], list[str]]:
    """The source's own texts of the classes in label order, and their names.

    Args:
        lines: of the file of class names.
        texts: what the source calls the classes (folders, labels), in any order.
        known: what the source itself says their names are, in the same order.
        where: the file, for errors.

    Raises:
        UserError: names that do not fit the classes, or could in two ways.
    """
    if any("\t" in line for line in lines):
        return _explicit(lines, texts, where)
    wanted = order.natural(texts)
    name_of = dict(zip(texts, known, strict=True))
    if len(lines) == len(texts):
        for own in (wanted, [name_of[text] for text in wanted]):
            found = _same_names(lines, own)
            if found is not None:
                return [wanted[at] for at in found], list(lines)
    if len(lines) != len(texts):
        raise UserError(f"{where} names {len(lines)} classes, the source has {len(texts)}")
    _refuse_whole(lines, wanted, where)
    _refuse_prefixes(lines, wanted, where)
    _refuse_displaced(lines, wanted, where)
    _refuse_doubt(wanted, where)
    return wanted, list(lines)


def numbered(lines: Sequence[str], known: Sequence[str], where: str) -> list[str]:
    """Names for a source whose labels are numbers; `known`: the names that it has, perhaps none.

    Lines with a tab name a class by what it is known as, or by its number where nothing is known.

    Raises:
        UserError: their count is another, or they are the known names in another order.
    """
    if any("\t" in line for line in lines):
        own = list(known) or [str(label) for label in range(len(lines))]
        name_of = dict(zip(*_explicit(lines, own, where), strict=True))
        return [name_of[text] for text in own]
    if known and len(lines) != len(known):
        raise UserError(f"{where} names {len(lines)} classes, the source has {len(known)}")
    if known:
        _refuse_whole(lines, known, where)
        _refuse_displaced(lines, known, where)
    return list(lines)


def refuse_bare(texts: Sequence[str], names: Sequence[str], prompt: str) -> None:
    """Refuse numbers and booleans as class names that nobody gave.

    Raises:
        UserError: which, and how to name the classes.
    """
    bare = [name for text, name in zip(texts, names, strict=True) if name == text]
    bare = [name for name in bare if order.is_bare(name)]
    if bare:
        shown = ", ".join(bare[:4]) + (", ..." if bare[4:] else "")
        raise UserError(
            f"{len(bare)} of {len(names)} classes have no name but {shown}, and a prompt would "
            f"read {prompt.format(bare[0])!r}; pass --classes FILE with the names in the order of "
            "the numbers, one a line (a table may have a column classname instead). If the numbers "
            "are the names, as of digits, write them into FILE"
        )


def pairs(texts: Sequence[str], names: Sequence[str]) -> str:
    """Label, the source's text and the class name, a line each; the first and last of many. No line
    is wider than 80 terminal cells."""
    count = len(names)
    shown = list(range(count))
    if count > _MOST_PAIRS:
        shown = [*shown[:_FIRST], *shown[-_LAST:]]
    same = list(texts) == list(names)
    width = min(max(cell_len(texts[at]) for at in shown), _WIDTH)
    lines = []
    for at in shown:
        if at and at - 1 not in shown:
            lines.append(f"  ... {count - len(shown)} more ...")
        own = "" if same else f"{_cut(texts[at], width)} -> "
        lines.append(f"  {at:>4}  {own}{_cut(names[at], _WIDTH).rstrip()}")
    title = "" if same else ", what the source calls them -> their names"
    return "\n".join([f"{count} classes in label order{title}:", *lines])


def first_prompt(names: Sequence[str], prompts: Sequence[str]) -> str:
    """What CLIP is asked for the first class; where names hold numbers, for the first of those, and
    that they do."""
    numbered = [at for at, name in enumerate(names) if any(letter.isdigit() for letter in name)]
    said = f"a prompt reads {prompts[numbered[0] if numbered else 0]!r}"
    if not numbered:
        return said
    return (
        f"{said}: {len(numbered)} of {len(names)} class names hold numbers; if these are not part "
        "of what an image shows, name the classes with --classes FILE"
    )


def _cut(text: str, width: int) -> str:
    cut = set_cell_size(text, width)
    return cut if cut.rstrip() == text.rstrip() else set_cell_size(text, width - 3) + "..."


def _explicit(
    lines: Sequence[str], texts: Sequence[str], where: str
) -> tuple[list[str], list[str]]:
    """The pairs of a file with a tab in each line."""
    split = [[part.strip() for part in line.split("\t")] for line in lines]
    for number, parts in enumerate(split, 1):
        if len(parts) != 2 or not all(parts):
            raise UserError(f"{where}, name {number}: {lines[number - 1]!r} is not FOLDER<tab>NAME")
    named = [folder for folder, _ in split]
    known = {unicodedata.normalize("NFC", text): text for text in texts}
    unknown = [folder for folder in named if folder not in known]
    missing = [text for text in known if text not in named]
    twice = [folder for folder, count in Counter(named).items() if count > 1]
    for what, found in (
        ("that the source does not have", unknown),
        ("twice", twice),
    ):
        if found:
            raise UserError(f"{where} names {len(found)} folders {what}, the first is {found[0]!r}")
    if missing:
        raise UserError(
            f"{where} does not name {len(missing)} of {len(texts)} classes, the first is "
            f"{missing[0]!r}"
        )
    return [known[folder] for folder in named], [name for _, name in split]


def _light(text: str) -> str:
    """What is left of a name without case, compositions and kinds of separators."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(re.split(r"[\s_.\-]+", folded)).strip()


def _unnumbered(text: str) -> str:
    """A name without the numbers before and after it: 001.Black_footed_Albatross."""
    return re.sub(r"^[\d\W_]+|[\d\W_]+$", "", _light(text))


def _same_names(lines: Sequence[str], own: Sequence[str]) -> list[int] | None:
    """For each line the place of the class that it names, if every line names one of its own."""
    for form in (str, _light, _unnumbered):
        places = {form(text): at for at, text in enumerate(own)}
        plain = [line if form is str else _light(line) for line in lines]
        if len(places) == len(own) and "" not in places and set(plain) == set(places):
            return [places[line] for line in plain]
    return None


def _refuse_displaced(
    lines: Sequence[str], own: Sequence[str], where: str, why: str = _REMEDY
) -> None:
    """Refuse a line that names one class, and stands where another one is."""
    forms: tuple[Callable[[str], str], ...] = (_light, _unnumbered)
    places: dict[str, set[int]] = {}
    for form in forms:
        for at, text in enumerate(own):
            if form is _light or form(text) not in map(_light, own):
                places.setdefault(form(text), set()).add(at)
    for at, line in enumerate(lines):
        found = places.get(_light(line), {at})
        if at not in found:
            raise UserError(
                f"{where}: name {at + 1} is {line!r}, which the source calls "
                f"{own[min(found)]!r}, but it stands where {own[at]!r} is; {why}"
            )


def _refuse_prefixes(lines: Sequence[str], own: Sequence[str], where: str) -> None:
    """Refuse lines that all begin with the folder that they name ("n01440764 tench")."""
    heads = []
    for line in lines:
        fitting = [t for t in own if re.match(rf"{re.escape(t)}[^\w]+\w", line)]
        heads.append(max(fitting, key=len, default=""))
    if all(heads) and len(set(heads)) == len(own):
        raise UserError(
            f"{where}: each line begins with what the source calls the class ({heads[0]!r}); put a "
            f"tab behind that, so that {lines[0][len(heads[0]) :].strip()!r} is the class name"
        )


def _refuse_whole(lines: Sequence[str], own: Sequence[str], where: str) -> None:
    """Refuse numbered lists of the source's own names ("1 001.Black_footed_Albatross", as CUB has
    them), whose numbers would become part of the names."""
    bare = [re.sub(r"^\d+[\s:;,.)]+", "", line) for line in lines]
    if bare != list(lines) and set(map(_light, bare)) == set(map(_light, own)):
        raise UserError(
            f"{where}: its lines are the source's own names with a number before each "
            f"({lines[0]!r}), which would be part of the name; {_REMEDY}"
        )


def _refuse_doubt(wanted: Sequence[str], where: str) -> None:
    same = order.same_number(wanted)
    if same is not None:
        raise UserError(
            f"{where} cannot be matched: {same[0]!r} and {same[1]!r} are the same number; {_REMEDY}"
        )
    other = order.other_order(wanted)
    if other is not None:
        at = next(at for at, text in enumerate(wanted) if other[at] != text)
        raise UserError(
            f"{where}: it cannot be known whether its name {at + 1} is that of {wanted[at]!r} (in "
            f"the order of numbers) or of {other[at]!r}; {_REMEDY}"
        )
