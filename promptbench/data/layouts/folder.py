"""Layout `folder`: one folder of images per class; also ImageNet's, its variants' and users' own.

Canonical order: class by class in label order, inside a class by path. Which folder is which label
is written on the card (folder names need not sort as labels do: ImageNet-V2's are numbers).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from promptbench.data.cards import DataCard
from promptbench.data.layouts.base import Draft, Options, Sample, Source, options_of
from promptbench.data.layouts.files import SUFFIXES, FileSource, base_folder, safe, stamped
from promptbench.data.layouts.splits import WHOLE, counts, splits_found, with_holdout
from promptbench.errors import UserError
from promptbench.progress import Reporter


class FolderOptions(Options):
    """`splits`: folder of each split; `folders`: the classes' folders in label order; `holdout`:
    share of test images drawn from the one split "all"; `root`: usual name of the whole folder."""

    root: str = ""
    splits: dict[str, str]
    folders: list[str]
    holdout: float | None = None


def open_source(card: DataCard, location: str, listener: Reporter) -> Source:
    """The images of the class folders.

    Raises:
        UserError: a folder that is missing, empty or not on the card.
    """
    options = options_of(card, FolderOptions)
    if len(options.folders) != len(card.classes):
        raise UserError(
            f"data card {card.name!r}: {len(options.folders)} folders, {len(card.classes)} classes"
        )
    return _source(base_folder(location, options.root), options)


def draft(location: str, holdout: float | None, listener: Reporter) -> Draft:
    """Classes and counts of a folder with train/ and test/, or with class folders alone."""
    base = base_folder(location, "")
    splits = _splits(base, holdout)
    folders = sorted({f.name for sub in splits.values() for f in _subfolders(base / sub)})
    if len(folders) < 2:
        raise UserError(f"{base} holds {len(folders)} class folders; at least two are needed")
    options = FolderOptions(splits=splits, folders=folders, holdout=holdout)
    source = _source(base, options)
    return Draft(folders, counts(source.listing), options.model_dump(exclude_defaults=True))


class _Folders(FileSource):
    def __init__(self, root: Path, listing: dict[str, list[Sample]]) -> None:
        super().__init__(root, listing)
        self.listing = listing


def _source(base: Path, options: FolderOptions) -> _Folders:
    listing = {split: _listed(base, sub, options.folders) for split, sub in options.splits.items()}
    return _Folders(base, with_holdout(listing, options.holdout))


def _splits(base: Path, holdout: float | None) -> dict[str, str]:
    named = [folder.name for folder in _subfolders(base)]
    if {"train", "test", "val", "validation", "valid"}.isdisjoint(named):
        if holdout is None:
            raise UserError(
                f"{base} has no folder test (nor train); pass --holdout 0.3 to draw a test split "
                "from its class folders"
            )
        return {WHOLE: "."}
    return splits_found(named, holdout, str(base), "it needs a folder test")


def _listed(base: Path, sub: str, folders: list[str]) -> list[Sample]:
    root = base if sub == "." else base / safe(sub, "splits")
    known = set(folders)
    strange = [folder.name for folder in _subfolders(root) if folder.name not in known]
    if strange:
        raise UserError(
            f"{root} holds {len(strange)} folders that are no class of the card ({len(folders)} "
            f"classes), the first is {strange[0]!r}"
        )
    found: list[Sample] = []
    for label, name in enumerate(folders):
        images = [
            sample
            for path in sorted(_images(root / safe(name, "folders")))
            if (sample := stamped(base, os.path.relpath(path, base).replace(os.sep, "/"), label))
        ]
        if not images:
            raise UserError(f"class folder {root / name} is missing or holds no image")
        found += images
    return found


def _subfolders(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder")
    hidden = (".", "__")  # tools leave .ipynb_checkpoints and __MACOSX behind
    return sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith(hidden))


def _images(folder: Path) -> Iterator[str]:
    for place, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            if Path(name).suffix.lower() in SUFFIXES and not name.startswith("."):
                yield str(Path(place) / name)
