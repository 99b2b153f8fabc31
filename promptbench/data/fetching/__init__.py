"""`promptbench data fetch`: published files, from the addresses on a card into the folder that
`data prepare` reads."""

from promptbench.data.fetching.licences import has_consented, licence_notice, note_consent
from promptbench.data.fetching.obtaining import Places, fetch, is_offline
from promptbench.data.fetching.wanted import announced, refuse_unfetchable

__all__ = [
    "Places",
    "announced",
    "fetch",
    "has_consented",
    "is_offline",
    "licence_notice",
    "note_consent",
    "refuse_unfetchable",
]
