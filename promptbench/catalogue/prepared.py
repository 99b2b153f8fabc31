"""Whether a dataset is prepared here, in words."""

from __future__ import annotations

from pathlib import Path

from promptbench.data.cards.cards import DataCard
from promptbench.data.shards import remote, shards, store
from promptbench.errors import UserError
from promptbench.storage.reading import Unreadable
from promptbench.support.prose import counted


def remarks_of(card: DataCard, root: Path | None) -> dict[str, str]:
    """What the index of a prepared dataset says of its images beyond their number."""
    index, found = _index_here(card, store.folder_of(card, root)), {}
    if index is None:
        return {}
    if index.duplicates is not None:
        counts = index.duplicates
        found["duplicates"] = (
            f"{counted(counts.splits, 'image')} in more than one split, {counts.classes} under "
            f"more than one class, {counts.copies} further copies within a split and class"
        )
    if index.deep:
        found["deep"] = f"{counted(index.deep, 'image')} of more than 8 bits of grey, scaled to 8"
    return found


def state_of(card: DataCard, root: Path | None) -> str:
    """Whether its shards are below a data root (None: where the environment says), and how."""
    folder = store.folder_of(card, root)
    if not shards.lies_in(folder):
        if card.source.kind == "generated":
            return "at first use"
        return "served" if store.is_prepared(card, root) else "no"
    index = _index_here(card, folder)
    if index is None:
        return "served, its copy is damaged and will be fetched again"
    size = sum(path.stat().st_size for path in folder.glob("*.tar")) / 2**20
    variant = f", resized to {index.resize_short}" if index.resize_short else ""
    stale = ", of another card" if index.card_digest != card.digest else ""
    return f"yes, {size:,.0f} MiB{variant}{stale if store.is_own_format(card) else ''}"


def _index_here(card: DataCard, folder: Path) -> shards.ShardIndex | None:
    """The index in a folder; None without one, and where it is the damaged copy of a served one."""
    if not shards.lies_in(folder):
        return None
    try:
        return shards.read_index(folder / "index.json")
    except Unreadable:
        raise
    except UserError:
        if not remote.is_url(card.source.location):
            raise
        return None
