"""Images that cannot be stored: all of them in one message, so that they are replaced in one go."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from promptbench.errors import UserError
from promptbench.support.prose import counted

_SHOWN = 3  # images of a kind
_KINDS = 8  # in a message


@dataclass(frozen=True, slots=True)
class Rejection:
    """An image, the shard that it would be in, and what is wrong with it."""

    name: str
    shard: str
    why: str

    @property
    def kind(self) -> str:
        """What is wrong, without numbers and bytes in brackets, which differ between images."""
        return re.sub(r"\(.*?\)|\d+", "", self.why)


class Rejected(Exception):
    """A shard of which some images cannot be stored, after all of them have been looked at."""

    def __init__(self, images: Sequence[Rejection]) -> None:
        super().__init__(f"{len(images)} images")
        self.images = images


def error_for(dataset: str, images: Sequence[Rejection]) -> UserError:
    """The error that names the images: one, or of each kind how many there are and the first."""
    first = images[0]
    if len(images) == 1:
        return UserError(
            f"{dataset}: image {first.name} (of shard {first.shard}) {first.why}; the same command "
            "then goes on"
        )
    kinds: dict[str, list[Rejection]] = {}
    for image in images:
        kinds.setdefault(image.kind, []).append(image)
    ordered = sorted(kinds.values(), key=len, reverse=True)
    lines = [_line(group) for group in ordered[:_KINDS]]
    left = sum(len(group) for group in ordered[_KINDS:])
    if left:
        lines.append(f"  and {left} more, of {counted(len(ordered) - _KINDS, 'other kind')}")
    return UserError(
        f"{dataset}: {len(images)} images cannot be stored; the same command goes on when they are "
        "replaced or removed\n" + "\n".join(lines)
    )


def _line(group: Sequence[Rejection]) -> str:
    names = ", ".join(sorted(image.name for image in group)[:_SHOWN])
    more = ", ..." if len(group) > _SHOWN else ""
    return f"  {counted(len(group), 'image')} ({names}{more}): {group[0].why.removeprefix('is ')}"
