"""Layout `folder`: one folder of images per class; also ImageNet's, its variants' and users' own.

Canonical order: class by class in label order, inside a class by path. Which folder is which label
is written on the card (folder names need not sort as labels do: ImageNet-V2's are numbers), where
accented letters are composed (NFC), whatever the disk has.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from promptbench.data.cards.cards import DataCard
from promptbench.data.layouts import nesting, order, walk
from promptbench.data.layouts.base import Draft, ImageSource, LayoutOptions, Sample, options_of
from promptbench.data.layouts.fence import Fence
from promptbench.data.layouts.files import FileSource, Tree, base_folder, safe
from promptbench.data.layouts.findings import Findings
from promptbench.data.layouts.splits import WHOLE, counts, split_named, splits_found, with_holdout
from promptbench.errors import UserError
from promptbench.support.progress import Reporter

# Per split, the class folders by their composed names.
Walked = Mapping[str, Mapping[str, walk.FolderContents]]


class FolderOptions(LayoutOptions):
    """`splits`: folder of each split; `folders`: the classes' folders in label order; `holdout`:
    share of test images drawn from the one split "all"; `root`: usual name of the whole folder."""

    root: str = ""
    splits: dict[str, str]
    folders: list[str]
    holdout: float | None = None


def open_source(card: DataCard, location: str, listener: Reporter) -> ImageSource:
    """The images of the class folders.

    Raises:
        UserError: a folder that is missing, empty or not on the card; images that cannot be read.
    """
    options = options_of(card, FolderOptions)
    if len(options.folders) != len(card.classes):
        raise UserError(
            f"data card {card.name!r}: {len(options.folders)} folders, {len(card.classes)} classes"
        )
    base = base_folder(location, options.root)
    findings, fence = Findings(str(base)), Fence(base)
    walked = _walked(fence, options.splits, findings)
    _refuse_strange(base, walked, options, findings)
    listing = _listing(base, walked, options)
    findings.report(listener)
    return FileSource(Tree(base, fence), with_holdout(listing, options.holdout))


def draft(location: str, holdout: float | None, listener: Reporter) -> Draft:
    """Classes and counts of a folder with train/ and test/, or with class folders only.

    Raises:
        UserError: no classes or splits, a class that a split lacks, images that cannot be read.
    """
    base = base_folder(location, "")
    findings, fence = Findings(str(base)), Fence(base)
    splits = _splits(fence, holdout)
    walked = _walked(fence, splits, findings)
    folders = order.natural(_classes(fence, splits, walked, findings))
    nesting.refuse(base, _inner(splits, walked))
    options = FolderOptions(splits=splits, folders=folders, holdout=holdout)
    listing = with_holdout(_listing(base, walked, options), holdout)
    findings.report(listener)
    dumped = options.model_dump(exclude_defaults=True)
    return Draft(folders, counts(listing), dumped, texts="folders")


def _splits(fence: Fence, holdout: float | None) -> dict[str, str]:
    base, findings = fence.own, Findings(str(fence.own))
    inside = walk.level(fence, base, findings)
    findings.refuse_lost()
    if not inside.folders:
        raise UserError(
            f"{base} has no folders, whose names would be its classes; put the images of each "
            "class into a folder of its own, or list images and labels in a table (csv:FILE)"
        )
    named = [folder.name for folder in inside.folders if split_named(folder.name)]
    if not named:
        if holdout is None:
            raise UserError(
                f"{base} has no folder test (nor train); pass --holdout 0.3 to draw a test split "
                "from its class folders"
            )
        return {WHOLE: "."}
    return splits_found(named, holdout, str(base), "it needs a folder test")


def _walked(fence: Fence, splits: Mapping[str, str], findings: Findings) -> Walked:
    """The class folders of every split, and whatever else there is reported or refused."""
    base = fence.own
    walked = {split: _class_folders(fence, sub, findings) for split, sub in splits.items()}
    read = {PurePosixPath(sub).parts[:1] for sub in splits.values()}
    if () not in read:  # "." is all there is
        beside = walk.level(fence, base, findings)
        for folder in beside.folders:
            if (folder.name,) not in read:
                findings.left_out("folder(s) beside those of the splits", folder.name)
        walk.tell_loose(base, beside, findings)
    findings.refuse_lost()
    for split, sub in splits.items():
        for name, images in _inner({split: sub}, walked).items():
            nesting.tell(str(PurePosixPath(sub, name)), images, findings)
    return walked


def _inner(splits: Mapping[str, str], walked: Walked) -> dict[str, list[str]]:
    """The images of each class in these splits, as paths below the class folder."""
    found: dict[str, list[str]] = {}
    for split, sub in splits.items():
        depth = len(PurePosixPath(sub).parts) + 1
        for name, inside in walked[split].items():
            images = ("/".join(path.split("/")[depth:]) for path, _ in inside.images)
            found.setdefault(name, []).extend(images)
    return {name: images for name, images in found.items() if images}


def _class_folders(fence: Fence, sub: str, findings: Findings) -> dict[str, walk.FolderContents]:
    base = fence.own
    root = base if sub == "." else base / safe(sub, "splits")
    if not root.is_dir():
        raise UserError(f"{root} is not a folder")
    inside = walk.level(fence, fence.checked(root, "the folder"), findings)
    walk.tell_loose(base, inside, findings)
    found: dict[str, walk.FolderContents] = {}
    for folder in inside.folders:
        name = unicodedata.normalize("NFC", folder.name)
        if name in found:
            raise UserError(
                f"{root} holds two folders that read {name!r}, their accents in different Unicode "
                "compositions; join them"
            )
        found[name] = walk.contents(fence, folder, findings)
    return found


def _classes(
    fence: Fence, splits: Mapping[str, str], walked: Walked, findings: Findings
) -> list[str]:
    """The folders that hold images; a class must be in every split."""
    base, names = fence.own, sorted(set().union(*walked.values()))
    _refuse_class_as_split(fence, splits, walked)
    classes = [name for name in names if _images_of(walked, name)]
    for name in sorted(set(names).difference(classes)):
        split = next(split for split in splits if name in walked[split])
        shown = PurePosixPath(splits[split], name)
        if not any(name in found and found[name].others for found in walked.values()):
            raise UserError(
                f"class folder {base / shown} is empty; put its images there, or remove it"
            )
        findings.left_out("folder(s) without images", str(shown))
    if len(classes) < 2:
        raise UserError(f"{base} holds {len(classes)} class folders; at least two are needed")
    _refuse_uneven(base, splits, walked, classes)
    return classes


def _refuse_class_as_split(fence: Fence, splits: Mapping[str, str], walked: Walked) -> None:
    """Refuse a folder that is called as a split is, but holds images and not class folders."""
    for split, found in walked.items():
        root = fence.own / splits[split]
        inside = walk.level(fence, root, Findings(str(fence.own)))
        if not found and splits[split] != "." and inside.files:
            raise UserError(
                f"{root} holds {len(inside.files)} files and no class folders, but its name is "
                f"that of a split; if {root.name!r} is a class, rename the folder (such as "
                f"{root.name}_class, and name it with --classes FILE), else sort its images into "
                "class folders"
            )


def _images_of(walked: Walked, name: str) -> int:
    return sum(len(found[name].images) for found in walked.values() if name in found)


def _refuse_uneven(
    base: Path, splits: Mapping[str, str], walked: Walked, classes: list[str]
) -> None:
    """Refuse folders that only some splits have: classes without images there, or no classes."""
    uneven = [name for name in classes if any(name not in found for found in walked.values())]
    if not uneven:
        return
    first = uneven[0]
    has = " and ".join(splits[split] for split, found in walked.items() if first in found)
    lacks = " or ".join(splits[split] for split, found in walked.items() if first not in found)
    more = f" (and {len(uneven) - 1} more like it)" if uneven[1:] else ""
    raise UserError(
        f"{base}: folder {first!r} is only in {has}, not in {lacks}{more}; if it is a class, put "
        f"images of it into {lacks}, if it is not, move it elsewhere"
    )


def _refuse_strange(base: Path, walked: Walked, options: FolderOptions, findings: Findings) -> None:
    known = {unicodedata.normalize("NFC", folder) for folder in options.folders}
    for split, found in walked.items():
        root = base / options.splits[split]
        strange = [name for name, inside in found.items() if name not in known and inside.images]
        if strange:
            raise UserError(
                f"{root} holds {len(strange)} folders that are not classes of the card "
                f"({len(known)} classes), the first is {strange[0]!r}"
            )
        for name in sorted(set(found) - known):
            shown = PurePosixPath(options.splits[split], name)
            findings.left_out("folder(s) without images", str(shown))


def _listing(base: Path, walked: Walked, options: FolderOptions) -> dict[str, list[Sample]]:
    listing: dict[str, list[Sample]] = {}
    for split, found in walked.items():
        listing[split] = []
        for label, name in enumerate(options.folders):
            inside = found.get(unicodedata.normalize("NFC", name))
            folder = base / options.splits[split] / safe(name, "folders")
            if inside is None:
                raise UserError(f"class folder {folder} is missing")
            if not inside.images:
                others = f" ({inside.others} other files)" if inside.others else ""
                raise UserError(
                    f"class folder {folder} holds no image{others}; put images of the class there, "
                    "or remove its folder from all splits"
                )
            listing[split] += [Sample(path, label, stamp) for path, stamp in inside.images]
    return listing
