"""Images stay inside their source: what lies elsewhere is read only if the user says so.

A folder of strangers may hold a link to anything on this machine, or a list name it, and shards are
made to be passed on; a pipe blocks, and a device never ends. People who keep their images in one
place and links to them in another name that place in PROMPTBENCH_LINKS. It says where files lie on
a machine, so it is not an option of a card.
"""

from __future__ import annotations

import os
from pathlib import Path

from promptbench.data.images.formats import MOST_IMAGE
from promptbench.errors import UserError
from promptbench.storage import reading

ALLOW = "PROMPTBENCH_LINKS"
_MOST_TEXT = 2**30  # lists of tens of millions of images


class Fence:
    """The folder `own` of a source, and the places `beside` it that links and lists may lead to."""

    def __init__(self, own: Path) -> None:
        given = os.environ.get(ALLOW, "").split(os.pathsep)
        self.own = own
        self.beside = tuple(Path(place).expanduser() for place in given if place)
        self._places = [real(place) for place in (_hub_cache(own), *self.beside)]
        self._folders: dict[Path, Path] = {}

    def outside(self, path: Path) -> Path | None:
        """Where a path really leads, if that is neither in the source nor in an allowed place.

        Of the folders on the way each is followed once, so that a file costs one look.
        """
        try:
            followed = self._followed(path)
        except OSError:  # a link that may not even be looked at, such as those of /proc
            return path
        return None if any(followed.is_relative_to(place) for place in self._places) else followed

    def checked(self, path: Path, what: str) -> Path:
        """A path that lies in the source or an allowed place; `what` names it in the message.

        Raises:
            UserError: it lies elsewhere.
        """
        if (place := self.outside(path)) is None:
            return path
        raise UserError(
            f"refused {what} {path}, which lies outside of the source {self.own} (at {place}); "
            f"{remedy_for(place.parent)}"
        )

    def image(self, path: Path) -> bytes:
        """The bytes of an image.

        Raises:
            UserError: it lies elsewhere, is not a file, is too large or cannot be read.
        """
        return reading.read_bytes(self.checked(path, "the image"), MOST_IMAGE, "the image")

    def text(self, path: Path) -> str:
        """A text file of the source.

        Raises:
            UserError: it is missing, lies elsewhere, cannot be read or is not UTF-8 text.
        """
        if not path.exists():
            raise UserError(f"{path} does not exist; does --source name the right place?")
        data = reading.read_bytes(self.checked(path, "the list"), _MOST_TEXT, "the list")
        try:
            return data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise UserError(
                f"{path} is not UTF-8 text (byte {error.start} is {error.object[error.start]:#04x})"
                "; save it as UTF-8"
            ) from error

    def _followed(self, path: Path) -> Path:
        if path.name in ("", "..") or path.is_symlink():
            return real(path)
        if path.parent not in self._folders:
            self._folders[path.parent] = real(path.parent)
        return self._folders[path.parent] / path.name


def real(path: Path) -> Path:
    """A path with all links followed; a loop of links stays where it begins to turn."""
    return Path(os.path.realpath(path))


def remedy_for(place: Path) -> str:
    """What a user can do about links, or names, that lead into a folder outside of the source."""
    return (
        "copy what is meant into the source or, if it is yours to pass on, allow the folder: "
        f"{ALLOW}={place}"
    )


def _hub_cache(folder: Path) -> Path:
    """What a source may read: itself. A snapshot in the cache of the Hugging Face hub consists of
    links to the blobs beside it, so that the dataset is the whole folder `datasets--OWNER--NAME`.
    """
    for parent in folder.absolute().parents:
        if parent.name == "snapshots" and parent.parent.name.startswith("datasets--"):
            return parent.parent
    return folder
