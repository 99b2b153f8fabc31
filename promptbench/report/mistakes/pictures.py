"""The images of mistakes, where their dataset lies on this disk as the record has used it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from promptbench.data.cards import cards
from promptbench.data.images.pictures import decoded, fitted
from promptbench.data.shards import remote, shards, store
from promptbench.data.shards.shards import Entry, ShardSet, samples_of
from promptbench.errors import UserError, one_line
from promptbench.records import Record
from promptbench.support.progress import Reporter
from promptbench.support.prose import counted


@dataclass(frozen=True)
class Pictures:
    """RGB images by their keys; `why` some or all are missing, empty if none is. `damaged`: shards
    or images are, so that another look may find more."""

    images: Mapping[str, Image.Image] = field(default_factory=dict)
    why: str = ""
    damaged: bool = False


def pictures(
    record: Record, dataset: str, split: str, keys: Iterable[str], root: Path | None, side: int
) -> Pictures:
    """Read the images of a record's dataset by their keys, as thumbnails.

    Nothing is fetched or generated. Bytes are those of the record: shards whose hash is another
    than the record's are not looked at, and every shard is compared with its index.

    Args:
        root: the data root, as for a run.
        side: pixels of the longer side; the other one follows.
    """
    try:
        data = at_hand(record, dataset, root)
    except UserError as error:
        data = one_line(error)
    return of_shards(data, dataset, split, keys, side)


def of_shards(
    data: ShardSet | str, dataset: str, split: str, keys: Iterable[str], side: int
) -> Pictures:
    """Read images from the shards that are `at_hand`, as `pictures` does."""
    if isinstance(data, str):
        return Pictures(why=f"no pictures: {data}")
    try:
        if split not in data.index.splits:
            return Pictures(why=f"no pictures: {dataset} has no {split} split here")
        wanted = dict.fromkeys(keys)
        entries = {entry.key: entry for entry in samples_of(data, split) if entry.key in wanted}
        found = [entries[key] for key in wanted if key in entries]
        images = _read(data, found, side)
    except UserError as error:  # damaged shards, or an image that cannot be decoded
        return Pictures(why=f"no pictures: {one_line(error)}", damaged=True)
    lacking = len(wanted) - len(found)
    why = f"{counted(lacking, 'image')} of the record are not in {dataset}" if lacking else ""
    return Pictures(images, why)


def at_hand(record: Record, dataset: str, root: Path | None) -> ShardSet | str:
    """Open the shards that a record has used, or say why they are not at hand.

    Raises:
        UserError: damaged ones.
    """
    used = record.data.get(dataset)
    if used is None:
        return f"the record does not say which images of {dataset} it has used"
    card = cards.load(dataset)
    if remote.is_url(card.source.location) and not store.is_own_format(card):
        return f"the shards of {dataset} lie on a server, and nothing is fetched for pictures"
    if not shards.lies_in(store.folder_of(card, root)):
        return f"{dataset} is not prepared on this disk ({_where(dataset)})"
    data = store.open_or_fetch(card, root, Reporter())
    if data.index.digest != used.shards_sha256:
        return f"the shards of {dataset} here are not those of the record (their hash differs)"
    return data


def _where(dataset: str) -> str:
    if dataset in cards.generated():
        return "the first run that uses it generates it"
    return f"--data names where; promptbench data prepare {dataset}"


def _read(data: ShardSet, entries: list[Entry], side: int) -> dict[str, Image.Image]:
    return {item.key: fitted(decoded(item), side) for item in data.items(entries)}
