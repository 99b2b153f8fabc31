"""What the layouts that read image files from folders share."""

from __future__ import annotations

import os
import stat
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path, PurePosixPath

from promptbench.data.formats import IMAGE_EXTENSIONS
from promptbench.data.layouts.base import Sample, Source
from promptbench.data.layouts.fence import Fence, remedy_for
from promptbench.data.parallel import ahead
from promptbench.errors import UserError
from promptbench.storage import reading

_MOST_TEXT = 2**30  # lists of tens of millions of images
SUFFIXES = frozenset(f".{extension}" for extension in IMAGE_EXTENSIONS)


class Tree:
    """Files below a root, found by names that may be composed in another way than on disk: macOS
    writes an accented letter as two characters, most tables as one."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._folders: dict[Path, dict[str, Path]] = {}

    def path(self, name: str) -> Path:
        """The file of a name; where none has it, the path that the name says."""
        said = self.root / name
        if name.isascii() or said.exists():
            return said
        here = self.root
        for part in PurePosixPath(name).parts:
            here = here / part if (here / part).exists() else self._composed(here, part)
        return here if here.exists() else said

    def _composed(self, folder: Path, part: str) -> Path:
        if folder not in self._folders:
            found = sorted(folder.iterdir()) if folder.is_dir() else []
            self._folders[folder] = {unicodedata.normalize("NFC", p.name): p for p in found}
        return self._folders[folder].get(unicodedata.normalize("NFC", part), folder / part)


class FileSource(Source):
    """Images below a root folder; the samples' names are paths relative to it."""

    def __init__(self, root: Path | Tree, listing: Mapping[str, Sequence[Sample]]) -> None:
        self._tree = root if isinstance(root, Tree) else Tree(root)
        self._listing = listing

    def samples(self, split: str) -> Sequence[Sample]:
        return self._listing[split]

    def images(self, samples: Iterable[Sample], workers: int) -> Iterator[bytes]:
        yield from ahead(partial(_read, self._tree), samples, workers)


def _read(tree: Tree, sample: Sample) -> bytes:
    path = tree.path(sample.name)
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read the image {path}: {error.strerror}") from error


def base_folder(location: str, root: str) -> Path:
    """The folder of a data set: `location` itself, or its sub-folder `root` if it is there.

    Raises:
        UserError: no such folder.
    """
    given = Path(location).expanduser()
    folder = given / root if root and (given / root).is_dir() else given
    if not folder.is_dir():
        raise UserError(f"the source {folder} is not a folder")
    return folder


def safe(name: str, where: str) -> str:
    """A relative path that stays below its folder, or an error: archives and lists are strangers.

    Raises:
        UserError: an absolute path, one with `..` or a NUL, or an empty one.
    """
    if "\0" in name:
        raise UserError(f"{where}: refused the path {name!r}: no file can have a NUL in its name")
    parts = PurePosixPath(name.replace("\\", "/")).parts
    if not parts or parts[0].startswith("/") or ".." in parts or ":" in parts[0]:
        raise UserError(f"{where}: refused the path {name!r}: it must stay below its folder")
    return name


def stamp_of(state: os.stat_result) -> str:
    """What changes when a file does."""
    return f"{state.st_size}:{state.st_mtime_ns}"


def stamped_rows(
    root: Path, rows: Iterable[tuple[str, int]], where: str, base: Path | None = None
) -> list[Sample]:
    """The samples of (name, label) rows of a list, images below `root`.

    Raises:
        UserError: images that the list names and the folder lacks, that lie outside of the source
            `base` (`root` itself if None), or files that are empty; how many, and the first.
    """
    tree, found, fence = Tree(root), [], Fence(base or root)
    wrong: dict[str, list[str]] = {}
    for name, label in rows:
        try:
            path = tree.path(name)
            state = path.stat()
        except (OSError, ValueError):  # no such file, or no file can have that name
            wrong.setdefault("images that are missing", []).append(name)
            continue
        if real := fence.outside(path):
            raise UserError(
                f"{where}: {name} leads out of the source (to {real}); {remedy_for(real.parent)}"
            )
        if not stat.S_ISREG(state.st_mode):
            wrong.setdefault("images that are not files", []).append(name)
        elif state.st_size == 0:
            wrong.setdefault("files that are empty", []).append(name)
        found.append(Sample(name, label, stamp_of(state)))
    for what, names in wrong.items():
        slashes = any("\\" in name for name in names)
        hint = "; write paths with / between folders, not with \\" if slashes else ""
        raise UserError(
            f"{where} names {len(names)} {what} under {root}, the first is {names[0]}{hint}"
        )
    return found


def text_of(path: Path) -> str:
    """A text file.

    Raises:
        UserError: it is missing, cannot be read or is not UTF-8 text.
    """
    try:
        if not path.exists():
            raise UserError(f"{path} does not exist; does --source name the right place?")
        return reading.read_bytes(path, _MOST_TEXT, "the list").decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path} is not UTF-8 text (byte {error.start} is {error.object[error.start]:#04x}); "
            "save it as UTF-8"
        ) from error
