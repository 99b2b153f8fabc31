"""What all images of a dataset show together: duplicates, depth, blanks.

The same image in training and test makes a score say nothing, and under two classes it can be right
for one of them only. Images are the same here when their decoded pixels are, whatever their names
and encodings.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from promptbench.data.images.pictures import Picture
from promptbench.data.shards.index import Duplicates
from promptbench.errors import UserError
from promptbench.support.progress import Reporter
from promptbench.support.prose import counted

_SHOWN = 3  # pairs of duplicates in a message
_DARK = 0.25  # share of a range; 12 of 16 bits are a sixteenth of it
_BLANK = 2  # images that a class must have to be called blank


class SeenImage(NamedTuple):
    """An image's place, its name there, and its look."""

    split: str
    label: int
    name: str
    look: Picture


@dataclass(frozen=True)
class Survey:
    """`pairs`: an image that lies elsewhere as well, and where it lies first. `deepest`: see
    `pictures.Picture`. `blank`: splits and labels whose images all show the same one colour."""

    duplicates: Duplicates
    pairs: Sequence[tuple[SeenImage, SeenImage]]
    deep: int
    deepest: float
    blank: Sequence[tuple[str, int]]

    @property
    def misplaced(self) -> bool:
        """Whether an image lies in more than one split, or under more than one class."""
        return bool(self.duplicates.splits or self.duplicates.classes)


def survey(images: Iterable[SeenImage]) -> Survey:
    """Survey the images of all splits, given in canonical order."""
    first: dict[str, SeenImage] = {}
    again: dict[str, list[SeenImage]] = {}
    flat: dict[tuple[str, int], list[tuple[int, int, int] | None]] = {}
    depths = []
    for seen in images:
        if first.setdefault(seen.look.identity, seen) is not seen:
            again.setdefault(seen.look.identity, []).append(seen)
        if seen.look.deepest is not None:
            depths.append(seen.look.deepest)
        flat.setdefault((seen.split, seen.label), []).append(seen.look.flat)
    blank = [
        place
        for place, colours in flat.items()
        if len(colours) >= _BLANK and None not in colours and len(set(colours)) == 1
    ]
    groups = [[first[identity], *others] for identity, others in again.items()]
    pairs = [pair for group in groups if (pair := _pair(group))]
    return Survey(_counts(groups), pairs, len(depths), max(depths, default=0.0), blank)


def _counts(groups: Sequence[Sequence[SeenImage]]) -> Duplicates:
    places = [{(seen.split, seen.label) for seen in group} for group in groups]
    return Duplicates(
        splits=sum(len({split for split, _ in some}) > 1 for some in places),
        classes=sum(len({label for _, label in some}) > 1 for some in places),
        copies=sum(len(group) - len(some) for group, some in zip(groups, places, strict=True)),
    )


def _pair(group: Sequence[SeenImage]) -> tuple[SeenImage, SeenImage] | None:
    """An image and the first of the same that lies in another split or class."""
    first = group[0]
    place = (first.split, first.label)
    return next(((first, seen) for seen in group if (seen.split, seen.label) != place), None)


def whereabouts(found: Survey, classes: Sequence[str]) -> str:
    """How many images lie in more than one split or class, and the first of them."""
    counts = [
        f"{counted(number, 'image')} {'lies' if number == 1 else 'lie'} {where}"
        for number, where in (
            (found.duplicates.splits, "in more than one split"),
            (found.duplicates.classes, "under more than one class"),
        )
        if number
    ]
    pairs = [" = ".join(_place(seen, classes) for seen in pair) for pair in found.pairs[:_SHOWN]]
    more = len(found.pairs) - len(pairs)
    tail = f"; and {more} more" if more else ""
    return f"{' and '.join(counts)}: {'; '.join(pairs)}{tail}"


def _place(seen: SeenImage, classes: Sequence[str]) -> str:
    return f"{seen.name} ({seen.split}, {classes[seen.label]})"


def check(
    found: Survey, name: str, classes: Sequence[str], allow: bool, listener: Reporter
) -> None:
    """Say what the survey of a dataset that is being prepared has found.

    Raises:
        UserError: images in more than one split or class, unless they are allowed.
    """
    if found.misplaced and not allow:
        raise UserError(
            f"{name}: {whereabouts(found, classes)}. Scores on them would say nothing; take the "
            "images out of one place, or keep them knowingly with --allow-duplicates"
        )
    for line in remarks(found, classes):
        listener.message(f"{name}: {line}")


def remarks(found: Survey, classes: Sequence[str]) -> list[str]:
    """What is worth knowing of the images, a sentence each."""
    lines = [f"{whereabouts(found, classes)}; they are kept"] if found.misplaced else []
    if found.duplicates.copies:
        lines.append(
            f"{counted(found.duplicates.copies, 'image')} repeat another one of the same split and "
            "class, which weighs more for it"
        )
    if found.deep:
        lines.append(
            f"{counted(found.deep, 'image')} hold more than 8 bits of grey, which are scaled to 8"
        )
        if found.deepest < _DARK:
            lines[-1] += (
                f"; none uses more than {found.deepest:.1%} of its range, so that all are dark: "
                "look at `promptbench data info --contact-sheet`, and rescale them if that is wrong"
            )
    return lines + blanks(found, classes)


def blanks(found: Survey, classes: Sequence[str]) -> list[str]:
    """Splits and classes whose images show nothing."""
    return [
        f"{split}: all images of class {classes[label]!r} are one and the same plain colour"
        for split, label in found.blank
    ]
