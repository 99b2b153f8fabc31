"""What the layouts that read image files from folders share."""

from __future__ import annotations

import os
import stat
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path, PurePosixPath

from promptbench.data.images.formats import IMAGE_EXTENSIONS
from promptbench.data.layouts.base import ImageSource, Sample
from promptbench.data.layouts.fence import Fence, real
from promptbench.data.layouts.findings import Findings
from promptbench.data.shards.parallel import ahead
from promptbench.errors import UserError

SUFFIXES = frozenset(f".{extension}" for extension in IMAGE_EXTENSIONS)


class Tree:
    """Files by names below a root, or below the places beside it that a list may name.

    Names may be composed in another way than on disk: macOS writes an accented letter as two
    characters, most tables as one.
    """

    def __init__(self, root: Path, fence: Fence) -> None:
        self.root, self.fence = root, fence
        self._folders: dict[Path, dict[str, Path]] = {}
        self._beside: dict[str, Path] = {}  # names of files that do not lie below the root

    def path(self, name: str) -> Path:
        """The file of a name; where none has it, the path that the name says."""
        return self._beside.get(name) or self._below(self.root, name)

    def name_of(self, said: str) -> str | None:
        """The name of an image that a list gives, None if it lies outside of all allowed places.

        A path may be absolute, or lead up from the root.

        Raises:
            ValueError: another image has the same name.
        """
        if ".." not in PurePosixPath(said).parts and said[0] != "/":
            return said
        name, place = self._relative(self.root / said)
        if name is not None and place != self.root:
            for other in (self.root / name, self._beside.setdefault(name, place / name)):
                if other.exists() and real(other) != real(place / name):
                    raise ValueError(f"{place / name} and {other}")
        return name

    def _relative(self, path: Path) -> tuple[str | None, Path]:
        """A path made relative to the first place that it lies in, and that place; as written, or
        with the links of folders followed (always so before `..`, which means the folder above what
        they lead to)."""
        written = path.parent.absolute() if ".." not in path.parts else None
        for place in (self.root, *self.fence.beside):
            for parent, root in (
                (written, place.absolute()),
                (real(path.parent), real(place)),
            ):
                if parent is not None and parent.is_relative_to(root):
                    return (parent.relative_to(root) / path.name).as_posix(), place
        return None, path

    def _below(self, root: Path, name: str) -> Path:
        said = root / name
        if name.isascii() or said.exists():
            return said
        here = root
        for part in PurePosixPath(name).parts:
            here = here / part if (here / part).exists() else self._composed(here, part)
        return here if here.exists() else said

    def _composed(self, folder: Path, part: str) -> Path:
        if folder not in self._folders:
            found = sorted(folder.iterdir()) if folder.is_dir() else []
            self._folders[folder] = {unicodedata.normalize("NFC", p.name): p for p in found}
        return self._folders[folder].get(unicodedata.normalize("NFC", part), folder / part)


class FileSource(ImageSource):
    """Image files of a tree, by the samples' names."""

    def __init__(self, tree: Tree, listing: Mapping[str, Sequence[Sample]]) -> None:
        self._tree, self._listing = tree, listing

    def samples(self, split: str) -> Sequence[Sample]:
        return self._listing[split]

    def images(self, samples: Iterable[Sample], workers: int) -> Iterator[bytes]:
        yield from ahead(partial(_read, self._tree), samples, workers)


def _read(tree: Tree, sample: Sample) -> bytes:
    return tree.fence.image(tree.path(sample.name))


def base_folder(location: str, root: str) -> Path:
    """The folder of a dataset: `location` itself, or its sub-folder `root` if it is there.

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


def in_list(name: str, where: str) -> str:
    """A path of a list that a file can have; where it may lie is for `stamped_rows` to say.

    Raises:
        UserError: one with a NUL, or an empty one.
    """
    if not name.strip("/") or "\0" in name:
        raise UserError(f"{where}: refused the path {name!r}: no image can be called that")
    return name


def stamped_rows(tree: Tree, rows: Iterable[tuple[str, int]], where: str) -> list[Sample]:
    """The samples of (path, label) rows of a list.

    Raises:
        UserError: images that are outside of the source, missing, empty or not files; of each kind
            how many, and the first.
    """
    found, findings = [], Findings(where)
    for said, label in rows:
        sample = _stamped(tree, said, label, findings)
        if sample is not None:
            found.append(sample)
    findings.refuse_lost()
    return found


def _stamped(tree: Tree, said: str, label: int, findings: Findings) -> Sample | None:
    root = tree.root
    try:
        name = tree.name_of(said)
        path = root / said if name is None else tree.path(name)
        place = tree.fence.outside(path)
        state = path.stat() if place is None else None
    except (OSError, UnicodeError):  # no such file, or no file can have that name
        slashes = "; write paths with / between folders, not with \\" if "\\" in said else ""
        remedy = f"put them below {root}, or remove their rows{slashes}"
        findings.lost("missing image(s)", remedy, said)
        return None
    except ValueError as error:
        remedy = "rename one, so that names below their folders tell them apart"
        findings.lost("path(s) of different images with one name", remedy, f"{said} ({error})")
        return None
    if name is None or place is not None or state is None:
        place = real(path) if place is None else place
        shown = f"{said} (to {place})" if str(place) != said else said
        findings.outside("image(s) outside of the source", place.parent, shown)
    elif not stat.S_ISREG(state.st_mode):
        findings.lost("path(s) to something else than a file", "name image files", said)
    elif state.st_size == 0:
        findings.lost("empty image file(s)", "get the images again, or remove their rows", said)
    else:
        return Sample(name, label, stamp_of(state))
    return None
