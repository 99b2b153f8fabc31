"""Whether a data set is prepared here, in words."""

from __future__ import annotations

from pathlib import Path

from promptbench.data import shards, store
from promptbench.data.cards import DataCard
from promptbench.prose import counted


def remarks_of(card: DataCard, root: Path | None) -> dict[str, str]:
    """What the index of a prepared dataset says of its images beyond their number."""
    path = store.folder_of(card, root) / "index.json"
    if not path.is_file():
        return {}
    index, found = shards.read_index(path), {}
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
    if not (folder / "index.json").is_file():
        if card.source.kind == "generated":
            return "at first use"
        return "served" if store.is_prepared(card, root) else "no"
    index = shards.read_index(folder / "index.json")
    size = sum(path.stat().st_size for path in folder.glob("*.tar")) / 2**20
    variant = f", resized to {index.resize_short}" if index.resize_short else ""
    stale = ", of another card" if index.card_digest != card.digest else ""
    return f"yes, {size:,.0f} MiB{variant}{stale if store.is_own_format(card) else ''}"
