"""What the layouts that read image files from folders share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path, PurePosixPath

from promptbench.data.layouts.base import Sample, Source
from promptbench.data.parallel import ahead
from promptbench.errors import UserError
from promptbench.storage import reading

_MOST_TEXT = 2**30  # lists of tens of millions of images
SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"})


class FileSource(Source):
    """Images below a root folder; the samples' names are paths relative to it."""

    def __init__(self, root: Path, listing: Mapping[str, Sequence[Sample]]) -> None:
        self._root, self._listing = root, listing

    def samples(self, split: str) -> Sequence[Sample]:
        return self._listing[split]

    def images(self, samples: Iterable[Sample], workers: int) -> Iterator[bytes]:
        yield from ahead(partial(_read, self._root), samples, workers)


def _read(root: Path, sample: Sample) -> bytes:
    try:
        return (root / sample.name).read_bytes()
    except OSError as error:
        raise UserError(f"cannot read the image {root / sample.name}: {error.strerror}") from error


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


def stamped(root: Path, name: str, label: int) -> Sample | None:
    """The sample of a file, None if there is no such file."""
    try:
        state = (root / name).stat()
    except OSError:
        return None
    return Sample(name, label, f"{state.st_size}:{state.st_mtime_ns}")


def stamped_rows(root: Path, rows: Iterable[tuple[str, int]], where: str) -> list[Sample]:
    """The samples of (name, label) rows of a list.

    Raises:
        UserError: images that the list names and the folder lacks; how many, and the first.
    """
    found, missing = [], []
    for name, label in rows:
        sample = stamped(root, name, label)
        if sample is None:
            missing.append(name)
        else:
            found.append(sample)
    if missing:
        raise UserError(
            f"{where} names {len(missing)} images that are missing under {root}, "
            f"the first is {missing[0]}"
        )
    return found


def text_of(path: Path) -> str:
    """A text file.

    Raises:
        UserError: it is missing, cannot be read or is no UTF-8 text.
    """
    try:
        if not path.exists():
            raise UserError(f"{path} does not exist; does --source name the right place?")
        return reading.read_bytes(path, _MOST_TEXT, "the list").decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"cannot read {path}: {error}") from error
