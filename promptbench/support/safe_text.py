"""Text of others made safe to show: records, cards and files may hold anything, such as escape
sequences of a terminal."""

from __future__ import annotations

import unicodedata

_UNSEEN = ("Cc", "Cf", "Cs", "Zl", "Zp")
_BREAKS = {ord("\n"): None, ord("\t"): None}


def visible(text: str) -> str:
    """`text` with characters that a terminal would act on replaced; line ends and tabs stay."""
    if text.isprintable() or text.translate(_BREAKS).isprintable():
        return text  # as most texts are: without looking at each character
    return "".join(
        "\N{REPLACEMENT CHARACTER}"
        if unicodedata.category(c) in _UNSEEN and ord(c) not in _BREAKS
        else c
        for c in text
    )


_PLAIN = str.maketrans(
    {
        "±": "+-",
        "†": "*",
        "‡": "#",
        "§": "&",
        "−": "-",
        "–": "-",
        "—": "-",
        "…": "~",  # of one column, as in tables
        "→": "->",
        "←": "<-",
        "‖": "||",
        "·": ".",
        "×": "x",
        "━": "-",
        "╸": "-",
        "╺": "-",
        "\N{REPLACEMENT CHARACTER}": "?",
    }
)


def spelled(text: str, encoding: str) -> str:
    """`text` in characters that an encoding has, the others as `plain` spells them."""
    try:
        text.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return "".join(c if _has(encoding, c) else plain(c) for c in text)
    return text


def plain(text: str) -> str:
    """`text` in ASCII: letters without their accents, signs in a plain form, and a question mark
    for each column that another character takes."""
    return "".join(map(_plain, text))


def _plain(character: str) -> str:
    form = unicodedata.normalize("NFKD", character.translate(_PLAIN))
    unknown = "??" if unicodedata.east_asian_width(character) in "WF" else "?"
    return form.encode("ascii", "ignore").decode() or unknown


def _has(encoding: str, character: str) -> bool:
    try:
        character.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def printable(text: str) -> str:
    """`text` on one line, with control, format and unpaired characters replaced."""
    if text.isprintable() and " " not in text:  # a name or a number
        return text
    return visible(" ".join(text.split()))


def shown_path(path: object) -> str:
    """A path on one line, with such characters replaced; spaces stay, so that it can be copied."""
    text = str(path)
    if text.isprintable():
        return text
    return visible(text).translate(dict.fromkeys(_BREAKS, "\N{REPLACEMENT CHARACTER}"))


def shortened(text: str, most: int = 80) -> str:
    """`text` with its middle left out, if it is longer than `most` characters."""
    if len(text) <= most:
        return text
    return f"{text[: most // 2]}...{text[-most // 4 :]} ({len(text)} characters)"
