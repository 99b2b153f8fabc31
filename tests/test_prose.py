"""Sentences that a terminal shows: broken between words, never within a path."""

from __future__ import annotations

import io

from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from promptbench.support.prose import flowing, say, wrapped

TEXT = "a note that is longer than the terminal -> " + "runs/" + "folder/" * 10 + "record.json"


def printed(width: int, terminal: bool) -> str:
    file = io.StringIO()
    say(Console(file=file, width=width, force_terminal=terminal, color_system=None), TEXT)
    return file.getvalue()


def test_a_terminal_gets_whole_words_and_whole_paths() -> None:
    lines = printed(20, terminal=True).splitlines()
    assert " ".join(lines).split() == TEXT.split()
    assert len(lines) > 2
    assert all(len(line) <= 20 or " " not in line for line in lines)


def test_paragraphs_flow_and_equations_stay() -> None:
    text = "one\nparagraph:\n\n    a = b\n    c = d\n\n- an item\n  of two lines\n- another"
    assert flowing(text) == text.replace("one\n", "one ")


def test_a_comment_that_is_broken_stays_a_comment() -> None:
    assert wrapped("# as long as that\nA.b = 1", 12) == "# as long as\n# that\nA.b = 1"


def test_a_pipe_gets_the_line_unbroken() -> None:
    assert printed(20, terminal=False) == TEXT + "\n"


@given(st.lists(st.text("abc-", min_size=1, max_size=12), max_size=20), st.integers(12, 40))
def test_wrapping_keeps_every_word(words: list[str], width: int) -> None:
    found = wrapped("  " + " ".join(words), width)
    assert found.split() == words
    assert all(len(line) <= width or len(line.split()) == 1 for line in found.split("\n"))
