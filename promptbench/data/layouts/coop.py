"""Layout `coop`: an image folder and a split_zhou_*.json, as the CoOp family has them on disk.

The json is {"train": [[path, label, class name], ...], "val": ..., "test": ...}; its order is the
canonical one, which few-shot sampling depends on.
"""

from __future__ import annotations

import json
from typing import Any

from promptbench.data.cards import DataCard
from promptbench.data.layouts.base import Options, Source, options_of
from promptbench.data.layouts.files import FileSource, base_folder, safe, stamped_rows, text_of
from promptbench.errors import UserError
from promptbench.progress import Reporter

Row = tuple[str, int, str]  # path, label, class name


class CoopOptions(Options):
    """`root`: the usual name of the data set's folder; below it `images` and `split_file`."""

    root: str
    images: str
    split_file: str


def open_source(card: DataCard, location: str, listener: Reporter) -> Source:
    """The images that the split file names.

    Raises:
        UserError: a file that is missing or wrong, class names that are not the card's.
    """
    options = options_of(card, CoopOptions)
    base = base_folder(location, options.root)
    path, images = base / options.split_file, base / options.images
    rows = parse(text_of(path), str(path))
    listing = {}
    for split in card.splits:
        if split not in rows:
            raise UserError(f"{path} has no split {split!r}")
        _check_names(rows[split], card, f"{path}, {split}")
        pairs = [(name, label) for name, label, _ in rows[split]]
        listing[split] = stamped_rows(images, pairs, f"{path}, {split}")
    return FileSource(images, listing)


def parse(text: str, where: str) -> dict[str, list[Row]]:
    """The rows of a split file, per split.

    Raises:
        UserError: not JSON, or not of the form above; with line or row.
    """
    try:
        content = json.loads(text)
    except ValueError as error:
        raise UserError(f"{where} is not valid JSON: {error}") from error
    except RecursionError as error:
        raise UserError(f"{where} is not a split file: it is nested too deeply") from error
    if not isinstance(content, dict) or not all(isinstance(v, list) for v in content.values()):
        raise UserError(f"{where} is not a split file: it must map splits to lists")
    return {
        split: [_row(row, f"{where}, {split}, row {number}") for number, row in enumerate(rows)]
        for split, rows in content.items()
    }


def _row(row: Any, where: str) -> Row:
    match row:
        case [str(name), int(label), str(class_name)] if not isinstance(label, bool):
            return safe(name, where), label, class_name
    raise UserError(f"{where}: {str(row)[:80]!r} is not of the form [path, label, class name]")


def _check_names(rows: list[Row], card: DataCard, where: str) -> None:
    for name, label, class_name in rows:
        if not 0 <= label < len(card.classes):
            raise UserError(
                f"{where}: label {label} of {name} is out of range; "
                f"the card has {len(card.classes)} classes"
            )
        expected = card.classes[label]
        if class_name.replace("_", " ") != expected.replace("_", " "):
            raise UserError(
                f"{where}: {name} has label {label} and class name {class_name!r}; "
                f"the card calls this class {expected!r}"
            )
