"""A record's cell, computed again only from the record, and what the two have in common."""

from promptbench.reproduction.again import reproduce
from promptbench.reproduction.cells import Whereabouts, cell_of, machine_of, request_of
from promptbench.reproduction.terminal import show
from promptbench.reproduction.verdict import Outcome, Reproduction

__all__ = [
    "Outcome",
    "Reproduction",
    "Whereabouts",
    "cell_of",
    "machine_of",
    "reproduce",
    "request_of",
    "show",
]
