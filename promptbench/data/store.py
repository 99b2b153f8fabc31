"""Where prepared data sets live, and preparing those that can be made on the spot."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from promptbench.data import cards, shards
from promptbench.data.cards import DataCard
from promptbench.data.layouts import generated
from promptbench.data.shards import Item, ShardSet
from promptbench.errors import UserError
from promptbench.tracking import Listener


def cache_folder() -> Path:
    """promptbench's cache: PROMPTBENCH_CACHE, else the user's cache folder."""
    explicit = os.environ.get("PROMPTBENCH_CACHE")
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(explicit) if explicit else Path(base) / "promptbench"


def folder_of(card: DataCard, root: Path | None) -> Path:
    """The folder of a data set: under the data root, or in the cache for generated ones."""
    if card.source.kind == "generated":
        return cache_folder() / "data" / f"{card.name}-{card.digest[:12]}"
    if root is None:
        raise UserError(
            f"data set {card.name!r} needs a data root: pass --data or set PROMPTBENCH_DATA"
        )
    return root / card.name


def provide(name: str, root: Path | None, listener: Listener) -> ShardSet:
    """The shards of a data set; generated ones are written at first use."""
    card = cards.load(name)
    folder = folder_of(card, root)
    if card.source.kind == "generated" and not (folder / "index.json").is_file():
        with listener.task(f"prepare {name}", sum(card.splits.values()), "images") as task:
            parts = {split: _counted(card, split, task.advance) for split in card.splits}
            return shards.write(card, folder, parts)
    return shards.open_set(card, folder)


def _counted(card: DataCard, split: str, advance: Callable[[int], None]) -> Iterator[Item]:
    for item in generated.items(card, split):
        advance(1)
        yield item
