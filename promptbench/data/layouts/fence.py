"""Images stay inside their source: what links lead to elsewhere is read only if the user says so.

A folder of strangers may hold a link to anything on this machine, and shards are made to be passed
on. People who keep their images in one place and links to them in another name that place in
PROMPTBENCH_LINKS. It says where files lie on a machine, so it is no option of a card.
"""

from __future__ import annotations

import os
from pathlib import Path

ALLOW = "PROMPTBENCH_LINKS"


class Fence:
    """The folder of a source, and the places outside of it that links may lead to."""

    def __init__(self, base: Path) -> None:
        given = os.environ.get(ALLOW, "").split(os.pathsep)
        self._places = [base, *(Path(place).expanduser() for place in given if place)]
        self._places = [place.resolve() for place in self._places]
        self._folders: dict[Path, Path] = {}

    def outside(self, path: Path) -> Path | None:
        """Where a path really leads, if that is neither in the source nor in an allowed place.

        Of the folders on the way each is followed once, so that a file costs one look.
        """
        real = self._folder(path.parent) / path.name
        if real.is_symlink():
            real = real.resolve()
        return None if any(real.is_relative_to(place) for place in self._places) else real

    def _folder(self, folder: Path) -> Path:
        if folder not in self._folders:
            self._folders[folder] = folder.resolve()
        return self._folders[folder]


def remedy_for(place: Path) -> str:
    """What a user can do about links, or names, that lead into a folder outside of the source."""
    return (
        "copy what is meant into the source or, if it is yours to pass on, allow the folder: "
        f"{ALLOW}={place}"
    )
