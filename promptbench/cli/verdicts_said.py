"""What commands print of verdicts on records."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

_ACCURACY_ONLY = "schema 1: accuracy only"  # as `validate` says it


def say_one(verdict: Any, with_notes: bool) -> str:
    """Print a verdict and return its state."""
    from rich.console import Console

    from promptbench.support.prose import say
    from promptbench.support.safe_text import shown_path

    console = Console()
    mark = f" ({_ACCURACY_ONLY})" if verdict.accuracy_only else ""
    click.echo(f"{verdict.state:<10} {shown_path(verdict.path)}{mark}")
    notes = [f"note: {note}" for note in verdict.notes if with_notes]
    for line in (*verdict.reasons, *notes):
        say(console, f"    {line}")
    return str(verdict.state)


def say_notes(verdicts: Sequence[Any], each_was_told: bool) -> None:
    """Print the notes on all records, each once, unless they were printed record by record."""
    from rich.console import Console

    from promptbench.leaderboard.checking.verdicts import folded_notes
    from promptbench.support.prose import say

    for line in [] if each_was_told else folded_notes(verdicts):
        say(Console(), f"note: {line}")


def counts(verdicts: Sequence[Any]) -> str:
    """How many records have each verdict, as text; empty without any."""
    from promptbench.leaderboard.checking.verdicts import STATES

    states = [verdict.state for verdict in verdicts]
    found = ", ".join(f"{states.count(state)} {state}" for state in STATES if state in states)
    plain = sum(verdict.accuracy_only for verdict in verdicts)
    return f"{found}; {plain} of {len(states)} {_ACCURACY_ONLY}" if plain else found


def say_lines(lines: Sequence[str]) -> None:
    """Print lines beside the command's output."""
    from rich.console import Console

    from promptbench.support.prose import say

    for line in lines:
        say(Console(stderr=True), line)
