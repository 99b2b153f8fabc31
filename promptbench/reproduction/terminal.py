"""A verdict on the terminal."""

from __future__ import annotations

from rich.console import Console

from promptbench.reproduction.verdict import Verdict


def show(verdict: Verdict, console: Console) -> None:
    """Print a verdict."""
    words = {
        "identical": "identical: the same subset, losses, parameters and predictions",
        "within tolerance": f"within tolerance: no target differs by more than {verdict.tolerance}"
        " points",
        "different": "different",
    }
    colour = {"identical": "green", "within tolerance": "yellow", "different": "red"}
    console.print(words[verdict.outcome], style=f"bold {colour[verdict.outcome]}", soft_wrap=True)
    for line in verdict.numbers:
        console.print(f"  {line}", highlight=False, markup=False, soft_wrap=True)
    if verdict.same:
        console.print(f"as in the record: {', '.join(verdict.same)}", highlight=False)
    for line in verdict.circumstances:
        console.print(f"changed: {line}", highlight=False, markup=False, soft_wrap=True)
