"""Sub-folders of class folders: parts of a class, or classes of their own below a broader one.

The images of `mammal/cat/` and `mammal/dog/` are read as the class `mammal`. Which is meant cannot
be known, but it shows: sub-folders that are parts (cameras, years, persons) carry the same names in
several classes, or are in few of them; classes have names of their own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from promptbench.data.layouts import order
from promptbench.data.layouts.findings import Findings
from promptbench.errors import UserError

INSIDE = "image(s) in sub-folders of class folders, as images of that class"
_SHOWN = 3


def tell(folder: str, images: Iterable[str], findings: Findings) -> None:
    """Note the images of a class folder, given as paths below it, that lie in sub-folders."""
    for image in images:
        if "/" in image:
            findings.note(INSIDE, f"{folder}/{image}")


def refuse(base: Path, classes: Mapping[str, Sequence[str]]) -> None:
    """Refuse classes most of which hold several folders of images and no image themselves, unless
    the names of these folders repeat from class to class.

    `classes`: the images of each class in all splits, as paths below its folder.

    Raises:
        UserError: which folder holds which, and what to do in either case.
    """
    inside = {name: _folders(images) for name, images in classes.items()}
    divided = {name: folders for name, folders in inside.items() if len(folders) > 1}
    named = Counter(folder for folders in divided.values() for folder in folders)
    own = [folder for folder, count in named.items() if count == 1]
    if 2 * len(divided) <= len(classes) or 2 * len(own) <= len(named):
        return
    first, folders = next(iter(divided.items()))
    shown = ", ".join(order.natural(folders)[:_SHOWN]) + (", ..." if len(folders) > _SHOWN else "")
    raise UserError(
        f"{base}: {len(divided)} of {len(classes)} class folders hold no images, but folders of "
        f"images (in {first}: {shown}). If these are the classes, move them up, so that each is a "
        f"folder beside the others; if {first!r} is one class, put its images into one folder; a "
        "table (csv:FILE) can say either"
    )


def _folders(images: Sequence[str]) -> set[str]:
    """The sub-folders that hold the images of a class; none if it holds images itself."""
    heads = [image.partition("/") for image in images]
    return {head for head, _, _ in heads} if all(slash for _, slash, _ in heads) else set()
