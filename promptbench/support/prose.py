"""Sentences on a terminal."""

from __future__ import annotations

import re
import textwrap
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from rich.console import Console

from promptbench.support.safe_text import shown_path

_START = re.compile(r" *(?:# )?")


def say(console: Console, text: str, style: str | None = None) -> None:
    """Print `text` as it is, without markup.

    A terminal gets lines that end between words; a word that is longer than the terminal is wide,
    such as a path, stays in one piece to be copied. A file or a pipe gets its lines unbroken.
    """
    console.print(
        fitted(console, text),
        style=style,
        highlight=False,
        markup=False,
        emoji=False,
        soft_wrap=True,
    )


def fitted(console: Console, text: str) -> str:
    """`text` with its lines broken as `say` breaks them."""
    return wrapped(text, console.width) if console.is_terminal else text


def counted(number: int, noun: str) -> str:
    """A number of things whose plural takes an s: 1 cell, 2 cells."""
    return f"{number} {noun}" + ("" if number == 1 else "s")


def folded(notes: Iterable[tuple[Path, str]]) -> list[str]:
    """Notes on records, each once, with whom it is about: the path of one, or how many."""
    about: dict[str, list[Path]] = defaultdict(list)
    for path, note in notes:
        about[note].append(path)
    return [
        f"{shown_path(paths[0]) if len(paths) == 1 else counted(len(paths), 'record')}: {note}"
        for note, paths in about.items()
    ]


def flowing(text: str) -> str:
    """`text` with the lines of a paragraph joined, to be broken where it is shown.

    Empty lines, indented ones (equations) and items of a list stay lines of their own.
    """
    lines: list[str] = []
    for line in text.split("\n"):
        begins = not line or line[0].isspace() or line.startswith(("- ", "* "))
        if begins or not lines or not lines[-1] or lines[-1][0].isspace():
            lines.append(line)
        else:
            lines[-1] += f" {line}"
    return "\n".join(lines)


def wrapped(text: str, width: int) -> str:
    """The lines of `text`, those longer than `width` characters broken between words; what
    follows stands below the line's first word, and a comment (#) stays one."""
    return "\n".join(
        textwrap.fill(
            line,
            width,
            subsequent_indent="".join(_START.findall(line)[:1]),
            replace_whitespace=False,
            break_long_words=False,
            break_on_hyphens=False,
        )
        for line in text.split("\n")
    )
