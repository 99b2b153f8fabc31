"""Archives of strangers, unpacked: files only, in their folder, of a size that images have."""

from __future__ import annotations

import lzma
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO

from promptbench.errors import OutputError
from promptbench.storage.files import told_if_unwritable
from promptbench.support.progress import Reporter
from promptbench.support.safe_text import printable, shortened

_BLOCK = 1 << 20
_GROWTH = 20  # times an archive's size that its files may have together; images hardly shrink
_SMALL = 2**30  # bytes that any archive may unpack to
_SHOWN = 5  # places of an archive that has other files than it should
_STEP = 1000  # files between two signs of progress
_UNREADABLE = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    OSError,
    RuntimeError,  # an encrypted zip
    NotImplementedError,  # a compression that Python lacks
    UnicodeError,
    ValueError,
)


class Damaged(Exception):
    """An archive that cannot be unpacked, or holds what it must not."""


@dataclass(frozen=True)
class _Member:
    """A file of an archive; `opened` is None for links, devices and whatever else is not one."""

    parts: tuple[str, ...]
    opened: Callable[[], IO[bytes] | None] | None


def unpack(path: Path, take: Sequence[str], into: Path, listener: Reporter) -> None:
    """Write the files of an archive that lie below `take[-1]` to `into`, by their paths there.

    The names in `take` before the last are archives inside the archive. Links and devices are left
    out, and said.

    Raises:
        Damaged: it is not a whole tar or zip, its names lead elsewhere, it holds nothing there or
            far more than images do.
        OutputError: the disk is full, or the folder cannot be written.
    """
    bound = _GROWTH * path.stat().st_size + _SMALL
    try:
        with told_if_unwritable(into):
            into.mkdir(parents=True)
        for depth, inner in enumerate(take[:-1]):
            place = into.with_name(f"{into.name}-{depth}")
            _write(path, inner, place, bound, listener)
            path = place
        _write(path, take[-1], into, bound, listener)
    except OutputError:
        raise
    except _UNREADABLE as error:
        why = printable(shortened(str(error), 200)) or type(error).__name__
        raise Damaged(f"it cannot be unpacked ({why})") from error


def _write(path: Path, prefix: str, into: Path, bound: int, listener: Reporter) -> None:
    below = PurePosixPath(prefix).parts
    count, size, left_out, beside = 0, 0, list[str](), set[str]()
    with _members(path) as members, listener.task(f"unpack {path.name}", 0, "files") as task:
        for member in members:
            if member.parts[: len(below)] != below:
                beside.add("/".join(member.parts[: len(below)]))
                continue
            content = member.opened() if member.opened is not None else None
            if content is None:
                left_out.append("/".join(member.parts))
                continue
            size = _copy(content, into.joinpath(*member.parts[len(below) :]), size, bound)
            count += 1
            if count % _STEP == 0:
                task.advance(_STEP)
        task.advance(count % _STEP)
    if count == 0:
        there = ", ".join(sorted(beside)[:_SHOWN]) or "nothing"
        raise Damaged(f"it holds no files at {prefix!r}, but at {printable(shortened(there, 200))}")
    if left_out:
        listener.message(
            f"{path.name}: {len(left_out)} links or other things that are not files are left out, "
            f"the first is {printable(shortened(left_out[0]))}"
        )


def _copy(content: IO[bytes], target: Path, size: int, bound: int) -> int:
    with told_if_unwritable(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        file = target.open("wb")
    with content, file:
        while block := content.read(_BLOCK):
            size += len(block)
            if size > bound:
                raise Damaged(f"it unpacks to more than {_GROWTH} times its size")
            with told_if_unwritable(target):
                file.write(block)
        with told_if_unwritable(target):
            file.flush()
    return size


@contextmanager
def _members(path: Path) -> Iterator[Iterator[_Member]]:
    """The members of a tar or zip, which is told by its content: suffixes lie."""
    with path.open("rb") as file:
        is_zip = file.read(2) == b"PK"
    if is_zip:
        with zipfile.ZipFile(path) as zipped:
            yield _of_zip(zipped)
    else:
        with tarfile.open(path, "r:*") as tar:
            yield _of_tar(tar)


def _of_zip(zipped: zipfile.ZipFile) -> Iterator[_Member]:
    for info in zipped.infolist():
        if not info.is_dir():
            mode = info.external_attr >> 16
            plain = stat.S_IFMT(mode) in (0, stat.S_IFREG)
            yield _Member(_parts(info.filename), partial(zipped.open, info) if plain else None)


def _of_tar(tar: tarfile.TarFile) -> Iterator[_Member]:
    for info in tar:
        if not info.isdir():
            yield _Member(
                _parts(info.name), partial(tar.extractfile, info) if info.isfile() else None
            )
        tar.members = []  # type: ignore[attr-defined]  # which would hold every member of a large archive


def _parts(name: str) -> tuple[str, ...]:
    """The parts of a member's path.

    Raises:
        Damaged: it leads out of its folder.
    """
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or "\0" in name:
        raise Damaged(f"it holds a path that leads elsewhere, {shortened(name)!r}")
    return path.parts


def settle(unpacked: Path, target: Path) -> list[str]:
    """Rename what was unpacked to where it belongs, and return what was there already and stays.

    A folder that is there is filled up with the entries that it lacks.
    """
    with told_if_unwritable(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.is_dir() and not any(target.iterdir()):
            target.rmdir()
        if not target.exists():
            unpacked.replace(target)
            return []
        kept = []
        for entry in sorted(unpacked.iterdir()):
            if (target / entry.name).exists():
                kept.append(entry.name)
            else:
                entry.replace(target / entry.name)
    return kept


def discard(folder: Path) -> None:
    """Remove what unpacking has left, in this process or in one that was killed."""
    for left in folder.parent.glob(f"{folder.name}*"):
        if left.is_dir():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink(missing_ok=True)
