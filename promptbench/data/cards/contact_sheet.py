"""A contact sheet: samples of a dataset in a grid, each with its class name."""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from promptbench.data.images.pictures import decoded, fitted
from promptbench.data.shards.shards import Entry, Item, ShardSet
from promptbench.errors import UserError, near_miss
from promptbench.storage.files import write_whole

_TILE, _CAPTION, _GAP = 144, 18, 6
_MOST_COLUMNS, _MOST = 8, 64
_FONT_SIZE = 12


def write(data: ShardSet, split: str, path: Path) -> None:
    """Write the sheet as a PNG: the first images of each class, or one of 64 classes if there are
    more of them.

    Raises:
        UserError: no such split, an image that cannot be decoded, a path that cannot be written.
    """
    if split not in data.index.splits:
        known = near_miss(split, data.index.splits)
        raise UserError(f"dataset {data.card.name!r} has no split {split!r}; {known}")
    chosen = _chosen(data.manifest(split), len(data.card.classes))
    columns = _columns(len(data.card.classes))
    rows = -(-len(chosen) // columns)
    width = columns * (_TILE + _GAP) + _GAP
    sheet = Image.new("RGB", (width, rows * (_TILE + _CAPTION + _GAP) + _GAP), "white")
    for number, entry in enumerate(chosen):
        left = _GAP + number % columns * (_TILE + _GAP)
        top = _GAP + number // columns * (_TILE + _CAPTION + _GAP)
        image = decoded(Item(entry.key, data.read(entry), entry.label, entry.shard))
        _place(sheet, left, top, image, data.card.classes[entry.label])
    file = io.BytesIO()
    sheet.save(file, "PNG")
    write_whole(path, file.getvalue())


def _per_class(n_classes: int) -> int:
    return max(1, min(_MOST_COLUMNS, _MOST // n_classes))


def _columns(n_classes: int) -> int:
    """A row for each class where it shows several images, else full rows."""
    each = _per_class(n_classes)
    return each if each > 2 else _MOST_COLUMNS


def _chosen(entries: list[Entry], n_classes: int) -> list[Entry]:
    each = _per_class(n_classes)
    step = max(1, -(-n_classes // _MOST))
    found: dict[int, list[Entry]] = {label: [] for label in range(0, n_classes, step)}
    for entry in entries:
        if entry.label in found and len(found[entry.label]) < each:
            found[entry.label].append(entry)
    return [entry for group in found.values() for entry in group]


def _place(sheet: Image.Image, left: int, top: int, image: Image.Image, name: str) -> None:
    small = fitted(image, _TILE)
    sheet.paste(small, (left + (_TILE - small.width) // 2, top + (_TILE - small.height) // 2))
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(_FONT_SIZE)
    text = name.replace("_", " ")
    while len(text) > 1 and draw.textlength(text, font) > _TILE:
        text = text[:-2] + "…"
    draw.text((left + _TILE / 2, top + _TILE + 2), text, "black", font, anchor="mt")
