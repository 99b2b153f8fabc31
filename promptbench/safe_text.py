"""Text of others made safe to show: records, cards and files may hold anything, such as escape
sequences of a terminal."""

from __future__ import annotations

import unicodedata

_UNSEEN = ("Cc", "Cf", "Cs", "Zl", "Zp")


def visible(text: str) -> str:
    """`text` with characters that a terminal would act on replaced; line ends and tabs stay."""
    return "".join(
        "\N{REPLACEMENT CHARACTER}" if unicodedata.category(c) in _UNSEEN and c not in "\n\t" else c
        for c in text
    )


def printable(text: str) -> str:
    """`text` on one line, with control, format and unpaired characters replaced."""
    return visible(" ".join(text.split()))


def shortened(text: str, most: int = 80) -> str:
    """`text` with its middle left out, if it is longer than `most` characters."""
    if len(text) <= most:
        return text
    return f"{text[: most // 2]}...{text[-most // 4 :]} ({len(text)} characters)"
