"""What a licence says, and who has consented to it."""

from __future__ import annotations

import hashlib

from promptbench.data.cards.cards import DataCard
from promptbench.data.fetching.obtaining import Places
from promptbench.storage.files import write_whole


def licence_notice(card: DataCard) -> str:
    """What is known of the licence and what to cite, in one line."""
    source = "" if card.licence_source == "unknown" else f" (according to {card.licence_source})"
    cite = "" if card.citation in ("", "unknown") else f"; cite: {card.citation}"
    return f"{card.name}: licence: {card.licence or 'unknown'}{source}{cite}"


def has_consented(card: DataCard, places: Places) -> bool:
    """Whether somebody has consented to this very text for this folder before."""
    note = places.downloads(card) / _name(card)
    return note.is_file()


def note_consent(card: DataCard, places: Places) -> None:
    """Remember a consent, so that a fetch that goes on does not ask again.

    Raises:
        OutputError: the folder cannot be written.
    """
    write_whole(places.downloads(card) / _name(card), f"{licence_notice(card)}\n".encode())


def _name(card: DataCard) -> str:
    return f"accepted-{hashlib.sha256(card.licence.encode()).hexdigest()[:12]}.txt"
