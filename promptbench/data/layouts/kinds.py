"""The kinds of sources, and the module that reads each.

A module has `open_source(card, location, listener)`, and where users may bring data of that kind
also `draft(location, holdout, listener)`, which says what a card needs to know.
"""

from __future__ import annotations

import importlib

from promptbench.data.cards.cards import DataCard
from promptbench.data.layouts.base import Draft, ImageSource
from promptbench.errors import UserError
from promptbench.support.progress import Reporter

_MODULES = {
    "generated": "generated",
    "coop": "coop",
    "aircraft": "aircraft",
    "folder": "folder",
    "csv": "csv_table",
    "hf": "hf",
    "wds": "wds",
}
OWN_KINDS = ("folder", "csv", "hf", "wds", "coop")


def open_source(card: DataCard, location: str, listener: Reporter) -> ImageSource:
    """The images of a card's dataset at a location (a path; a URL for some kinds)."""
    module = importlib.import_module(f"{__package__}.{_MODULES[card.source.kind]}")
    source: ImageSource = module.open_source(card, location, listener)
    return source


def draft(kind: str, location: str, holdout: float | None, listener: Reporter) -> Draft:
    """What a card of a user's own source must say.

    Raises:
        UserError: no such kind, or a source that is not as the kind wants it.
    """
    if kind not in OWN_KINDS:
        raise UserError(f"unknown kind of source {kind!r}; known: {', '.join(OWN_KINDS)}")
    module = importlib.import_module(f"{__package__}.{_MODULES[kind]}")
    made: Draft = module.draft(location, holdout, listener)
    return made
