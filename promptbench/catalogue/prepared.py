"""Whether a data set is prepared here, in words."""

from __future__ import annotations

from pathlib import Path

from promptbench.data import remote, shards, store
from promptbench.data.cards import DataCard
from promptbench.errors import UserError


def state_of(card: DataCard, root: Path | None) -> str:
    """Whether its shards are below a data root (None: where the environment says), and how."""
    folder = store.folder_of(card, root)
    if not (folder / "index.json").is_file():
        if card.source.kind == "generated":
            return "at first use"
        return "served" if store.is_prepared(card, root) else "no"
    try:
        index = shards.read_index(folder / "index.json")
    except UserError:
        if not remote.is_url(card.source.location):
            raise
        return "served, its copy is damaged and will be fetched again"
    size = sum(path.stat().st_size for path in folder.glob("*.tar")) / 2**20
    variant = f", resized to {index.resize_short}" if index.resize_short else ""
    stale = ", of another card" if index.card_digest != card.digest else ""
    return f"yes, {size:,.0f} MiB{variant}{stale if store.is_own_format(card) else ''}"
