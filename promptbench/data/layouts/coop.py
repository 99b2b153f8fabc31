"""Layout `coop`: an image folder and a split_zhou_*.json, as the CoOp family has them on disk.

The json is {"train": [[path, label, class name], ...], "val": ..., "test": ...}; its order is the
canonical one, which few-shot sampling depends on. Users bring datasets in this form, too: a folder
that holds the split file and, beside it or in a sub-folder, the images.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from promptbench.data.cards.cards import DataCard
from promptbench.data.layouts.base import Draft, ImageSource, LayoutOptions, Sample, options_of
from promptbench.data.layouts.fence import Fence
from promptbench.data.layouts.files import FileSource, Tree, base_folder, in_list, stamped_rows
from promptbench.data.layouts.splits import counts, splits_found, with_holdout
from promptbench.errors import UserError
from promptbench.support.progress import Reporter

Row = tuple[str, int, str]  # path, label, class name


class CoopOptions(LayoutOptions):
    """`root`: the usual name of the dataset's folder; below it `images` and `split_file`.

    Of a user's own: `labels`, the file's class names in label order (the card's may be others);
    `splits`, our split -> the file's; `holdout` as in `folder`.
    """

    root: str = ""
    images: str
    split_file: str
    labels: list[str] | None = None
    splits: dict[str, str] | None = None
    holdout: float | None = None


def open_source(card: DataCard, location: str, listener: Reporter) -> ImageSource:
    """The images that the split file names.

    Raises:
        UserError: a file that is missing or wrong, class names that are not the card's.
    """
    options = options_of(card, CoopOptions)
    base = base_folder(location, options.root)
    path, fence = base / options.split_file, Fence(base)
    rows = parse(fence.text(path), str(path))
    splits = options.splits or {split: split for split in card.splits}
    for own in splits.values():
        if own not in rows:
            raise UserError(f"{path} has no split {own!r}")
        _check_names(rows[own], options.labels or card.classes, f"{path}, {own}")
    tree = Tree(base / options.images, fence)
    return FileSource(tree, _listing(tree, path, rows, splits, options.holdout))


def draft(location: str, holdout: float | None, listener: Reporter) -> Draft:
    """Classes and counts of a split file, given itself or by the folder that holds it.

    Raises:
        UserError: no or several split files, images that are not where it says, labels and class
            names that do not belong together.
    """
    given = Path(location).expanduser()
    path = given if given.is_file() else _split_file(base_folder(location, ""))
    fence = Fence(path.parent)
    rows = parse(fence.text(path), str(path))
    empty = [own for own, found in rows.items() if not found]
    if empty:
        listener.message(f"left out: lists of {path} that are empty: {', '.join(empty)}")
        rows = {own: found for own, found in rows.items() if found}
    splits = splits_found(list(rows), holdout, str(path), "it needs a list test")
    spare = {own: len(rows[own]) for own in rows if own not in splits.values()}
    if spare:
        listed = ", ".join(f"{own} ({count})" for own, count in spare.items())
        listener.message(f"left out: lists of {path} that are not a split: {listed}")
    used = {own: rows[own] for own in splits.values()}
    options = CoopOptions(
        images=_image_folder(path, used, fence),
        split_file=path.name,
        labels=_names(used, str(path)),
        splits=splits,
        holdout=holdout,
    )
    tree = Tree(path.parent / options.images, fence)
    listing = _listing(tree, path, rows, splits, holdout)
    return Draft(
        classes=list(options.labels or ()),
        splits=counts(listing),
        options=options.model_dump(exclude_defaults=True),
        location=str(path.parent),
    )


def _listing(
    tree: Tree,
    path: Path,
    rows: Mapping[str, list[Row]],
    splits: Mapping[str, str],
    holdout: float | None,
) -> dict[str, list[Sample]]:
    listing = {}
    for split, own in splits.items():
        pairs = [(name, label) for name, label, _ in rows[own]]
        where = f"{path}, {own}"
        _refuse_repeated(rows[own], where)
        listing[split] = stamped_rows(tree, pairs, where)
    return with_holdout(listing, holdout)


def _split_file(folder: Path) -> Path:
    """The one split file of a folder; those that CoOp's code writes are called split_*.json."""
    found = sorted(folder.glob("*.json"))
    usual = [path for path in found if path.name.startswith("split")]
    candidates = usual or found
    if len(candidates) != 1:
        names = ", ".join(path.name for path in candidates) or "none"
        raise UserError(
            f"{folder} must hold one split file such as split_zhou_Birds.json; it holds {names}"
            + ("; name the one that is meant: --source coop:FILE" if candidates else "")
        )
    return candidates[0]


def _image_folder(path: Path, rows: Mapping[str, list[Row]], fence: Fence) -> str:
    """The folder that the paths of a split file begin in: its own, or a sub-folder of that; its own
    as well where they are absolute, or begin in a folder that the user allows."""
    first = [name for found in rows.values() for name, _, _ in found[:1] if name[0] != "/"]
    base = path.parent
    if not first:
        return "."
    below = sorted(folder.name for folder in base.iterdir() if folder.is_dir())
    fitting = [sub for sub in (".", *below) if all((base / sub / name).exists() for name in first)]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise UserError(
            f"{path}: its images are in several folders ({', '.join(fitting)}); keep the one that "
            "is meant beside it"
        )
    raise UserError(
        f"{path}: its first image {first[0]} is neither in {base} nor in a sub-folder; the split "
        "file must lie beside the folder of images that its paths begin in"
    )


def _names(rows: Mapping[str, list[Row]], where: str) -> list[str]:
    """Class names in label order: one name a label, labels from 0 without gaps."""
    names: dict[int, str] = {}
    for split, found in rows.items():
        for path, label, name in found:
            if names.setdefault(label, name) != name:
                raise UserError(
                    f"{where}, {split}: {path} has label {label} and class name {name!r}; another "
                    f"row calls this class {names[label]!r}"
                )
    if sorted(names) != list(range(len(names))):
        raise UserError(
            f"{where}: labels must run from 0 without gaps; there are {len(names)}, from "
            f"{min(names, default=0)} to {max(names, default=0)}"
        )
    return [names[label] for label in range(len(names))]


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
            return in_list(name, where), label, class_name
    raise UserError(f"{where}: {str(row)[:80]!r} is not of the form [path, label, class name]")


def _refuse_repeated(rows: Sequence[Row], where: str) -> None:
    first: dict[str, int] = {}
    again = [at for at, (name, _, _) in enumerate(rows) if first.setdefault(name, at) != at]
    if again:
        name = rows[again[0]][0]
        raise UserError(
            f"{where}: row {again[0]} names the image of row {first[name]} again ({name})"
            + (f", and {len(again) - 1} more rows do so" if again[1:] else "")
            + "; an image stands once in a split, remove the rows that are too many"
        )


def _check_names(rows: list[Row], names: Sequence[str], where: str) -> None:
    for name, label, class_name in rows:
        if not 0 <= label < len(names):
            raise UserError(
                f"{where}: label {label} of {name} is out of range; "
                f"the card has {len(names)} classes"
            )
        expected = names[label]
        if class_name.replace("_", " ") != expected.replace("_", " "):
            raise UserError(
                f"{where}: {name} has label {label} and class name {class_name!r}; "
                f"the card calls this class {expected!r}"
            )
