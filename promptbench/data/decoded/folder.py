"""The folder of decoded images: bounded; the least recently used go, but none that is in use.

Processes and users may share it: files appear whole and are never changed, and those of others are
left alone where they may not be removed.
"""

from __future__ import annotations

import math
import os
import shutil
import warnings
from collections import defaultdict
from contextlib import ExitStack, suppress
from io import BufferedReader
from pathlib import Path
from typing import Any, NamedTuple

from promptbench.data.cards.places import cache_folder
from promptbench.data.decoded.parts import Part, is_free
from promptbench.errors import UserError
from promptbench.storage import leases
from promptbench.storage.files import sweep
from promptbench.storage.integrity import Damaged

VARIABLE = "PROMPTBENCH_IMAGES_GB"
_SHARE = 0.25  # of the disk that is free, or taken by the cache, where nothing else is said
_MOST = 40 * 2**30  # bytes by default: the field's fifteen test sets at 224 pixels take 33 GiB
_LEFT_FREE = 2**28  # bytes of the disk, for all else that a run writes
_BLOCK = 512  # bytes, in which `st_blocks` counts
_FORGOTTEN = 3600.0  # seconds after which what a killed process has left is removed
_END = ".images"


class Folder:
    """Parts by the digest of what their pixels hang on, `<digest>-<number>.images`."""

    def __init__(self, path: Path | None = None, bound: int | None = None) -> None:
        self.path = path or cache_folder() / "images"
        self._bound = bound_here(self.path) if bound is None else bound

    @property
    def is_on(self) -> bool:
        """Whether images are kept at all: with a bound of 0 nothing is read, written or removed."""
        return self._bound > 0

    def listed(self) -> dict[str, list[Path]]:
        """All parts, by digest."""
        found: dict[str, list[Path]] = defaultdict(list)
        with suppress(OSError):  # not there yet, or not to be read
            for name in sorted(os.listdir(self.path)):  # noqa: PTH208 - only names are asked for
                if name.endswith(_END) and not name.startswith("."):
                    found[name.rpartition("-")[0]].append(self.path / name)
        return found

    def opened(self, path: Path, facts: dict[str, Any], shape: tuple[int, int, int]) -> Part | None:
        """A part, used now; None where it cannot be used, which is said unless it has just gone."""
        try:
            part = Part(path, facts, shape)
        except FileNotFoundError:  # to make room
            return None
        except (OSError, Damaged) as error:
            self.leave(path, error)
            return None
        with suppress(OSError):  # another user's, or read-only: its age stays
            os.utime(path)
        return part

    def leave(self, path: Path, error: Exception) -> None:
        """Say that a part cannot be used; a damaged one is removed, what cannot be read may be
        whole."""
        why = getattr(error, "strerror", None) or error
        found = f"are damaged ({why})" if isinstance(error, Damaged) else f"cannot be read ({why})"
        warnings.warn(
            f"the cached images {path.name} {found}; they are decoded again", stacklevel=2
        )
        if isinstance(error, Damaged):
            _removed(path)

    def lease(self, digest: str) -> Path:
        """The lease of whoever writes parts of a digest."""
        return leases.place(self.path, "images", digest)

    def free_path(self, digest: str) -> Path:
        """Where the next part of a digest goes; what a killed process has left of it is removed.

        Its lease must be held.
        """
        number = 0
        while (path := self.path / f"{digest}-{number}{_END}").exists():
            number += 1
        sweep(self.path, name=path.name)
        return path

    def has_room(self) -> bool:
        """Make room for all that lies in the folder, or is reserved there, by removing what was not
        used for longest, if that suffices; whether there is room now.

        Whoever writes a part reserves first and asks then, so that of several who begin together
        none counts on the room of another.

        Raises:
            OSError: the disk cannot be asked.
        """
        sweep(self.path, age=_FORGOTTEN)
        files = _files(self.path)
        reserved = sum(file.reserved for file in files)
        disk = _free(self.path) - _LEFT_FREE
        missing = max(sum(file.size for file in files) - self._bound, reserved - disk)
        with ExitStack() as stack:
            gone: list[Path] = []
            for file in sorted(files):
                if missing <= 0:
                    break
                if file.path.name.endswith(_END) and _locked(file.path, stack):
                    gone.append(file.path)
                    missing -= file.size
            if missing > 0:
                return False
            removed = [_removed(path) for path in gone]
        return all(removed)

    def held_bytes(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in _files(self.path))

    @property
    def bound(self) -> int:
        """The most bytes that are kept."""
        return self._bound


def bound_here(path: Path | None = None) -> int:
    """The bound in bytes that PROMPTBENCH_IMAGES_GB sets, in GiB; 0 switches the cache off.

    Without it, a quarter of what is free on the disk or kept already, and at most 40 GiB.

    Raises:
        UserError: it is not a number.
    """
    value = os.environ.get(VARIABLE, "").strip()
    if value:
        try:
            given = float(value)
        except ValueError:
            given = math.nan
        if not 0 <= given < math.inf:
            raise UserError(
                f"{VARIABLE} must be a number of GiB such as 20 or 0.5 (0 switches the cache of "
                f"decoded images off), not {value!r}"
            )
        return int(given * 2**30)
    path = path or cache_folder() / "images"
    held = sum(file.size for file in _files(path))
    try:
        return min(int(_SHARE * (_free(path) + held)), _MOST)
    except OSError:  # whoever writes there meets it, and says so
        return _MOST


class _File(NamedTuple):
    """When a file was used last, its size, path, and what of its size is only reserved yet."""

    used: int
    size: int
    path: Path
    reserved: int


def _files(folder: Path) -> list[_File]:
    """All files; those being written are among them, with the size that is reserved for them."""
    found = []
    with suppress(OSError), os.scandir(folder) as listing:
        for entry in listing:
            with suppress(OSError):  # gone meanwhile
                if entry.is_file(follow_symlinks=False):
                    about = entry.stat()
                    # A file that is reserved has no blocks yet; where blocks are not told, as on
                    # Windows, all of it counts as written.
                    taken = getattr(about, "st_blocks", about.st_size) * _BLOCK
                    left = max(about.st_size - taken, 0) if entry.name.startswith(".") else 0
                    path = folder / entry.name
                    found.append(_File(about.st_mtime_ns, about.st_size, path, left))
    return found


def _free(folder: Path) -> int:
    """Bytes that are free on the disk of a folder, or of the one that it will be made in.

    Raises:
        OSError: it cannot be asked.
    """
    while not os.path.exists(folder) and folder != folder.parent:  # noqa: PTH110 - never raises
        folder = folder.parent
    return shutil.disk_usage(folder).free


def _locked(path: Path, stack: ExitStack) -> bool:
    try:
        file: BufferedReader = stack.enter_context(path.open("rb"))
    except OSError:  # gone, or another user's
        return False
    return is_free(file)


def _removed(path: Path) -> bool:
    try:
        path.unlink(missing_ok=True)
    except OSError:
        return False
    return True
