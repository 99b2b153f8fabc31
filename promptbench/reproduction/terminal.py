"""A verdict on the terminal."""

from __future__ import annotations

from rich.console import Console

from promptbench.reproduction.verdict import Reproduction
from promptbench.support.prose import say


def show(verdict: Reproduction, console: Console) -> None:
    """Print a verdict."""
    words = {
        "identical": "identical: the same subset, losses, parameters and predictions",
        "within tolerance": f"within tolerance: no target differs by more than {verdict.tolerance}"
        " points",
        "different": "different",
    }
    colour = {"identical": "green", "within tolerance": "yellow", "different": "red"}
    say(console, words[verdict.outcome], f"bold {colour[verdict.outcome]}")
    for line in verdict.numbers:
        say(console, f"  {line}")
    if verdict.same:
        say(console, f"as in the record: {', '.join(verdict.same)}")
    for line in verdict.circumstances:
        say(console, f"changed: {line}")
