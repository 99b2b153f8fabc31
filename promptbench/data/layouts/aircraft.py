"""Layout `aircraft`: FGVC-Aircraft's text files, one line "<image id> <variant>" per image."""

from __future__ import annotations

from pathlib import Path

from promptbench.data.cards.cards import DataCard
from promptbench.data.layouts.base import ImageSource, LayoutOptions, options_of
from promptbench.data.layouts.fence import Fence
from promptbench.data.layouts.files import FileSource, Tree, base_folder, safe, stamped_rows
from promptbench.errors import UserError
from promptbench.support.progress import Reporter


class AircraftOptions(LayoutOptions):
    """Below the folder `root`: `images`, the file of `classes`, and one list per split."""

    root: str
    images: str
    classes: str
    lists: dict[str, str]


def open_source(card: DataCard, location: str, listener: Reporter) -> ImageSource:
    """The images that the lists name.

    Raises:
        UserError: a file that is missing or wrong, class names that are not the card's.
    """
    options = options_of(card, AircraftOptions)
    base = base_folder(location, options.root)
    fence = Fence(base)
    tree, names = Tree(base / options.images, fence), base / options.classes
    variants = [line.strip() for line in fence.text(names).splitlines() if line.strip()]
    _check_names(variants, card, names)
    labels = {variant: label for label, variant in enumerate(variants)}
    listing = {}
    for split in card.splits:
        path = base / options.lists[split]
        rows = parse(fence.text(path), labels, str(path))
        listing[split] = stamped_rows(tree, rows, str(path))
    return FileSource(tree, listing)


def _check_names(variants: list[str], card: DataCard, path: Path) -> None:
    if variants == card.classes:
        return
    pairs = zip(variants, card.classes, strict=False)
    differing = [line for line, (found, expected) in enumerate(pairs, 1) if found != expected]
    first = differing[0] if differing else min(len(variants), len(card.classes)) + 1
    raise UserError(
        f"{path} does not list the card's {len(card.classes)} classes in their order: it has "
        f"{len(variants)}, and line {first} is the first to differ"
    )


def parse(text: str, labels: dict[str, int], where: str) -> list[tuple[str, int]]:
    """(file name, label) of every line.

    Raises:
        UserError: a line without a known class, with its number.
    """
    rows = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        identifier, _, variant = line.strip().partition(" ")
        if variant.strip() not in labels:
            raise UserError(f"{where}, line {number}: {variant.strip()!r} is not a known class")
        rows.append((safe(f"{identifier}.jpg", f"{where}, line {number}"), labels[variant.strip()]))
    return rows
