"""One webdataset tar: its samples, and every member that is not part of one accounted for.

A sample is one image <key>.<image suffix> and one class index <key>.cls; the key is all before the
last dot (webdataset's own convention splits a name at its first dot, where `img.001.jpg` and
`img.002.jpg` would be one sample). What cannot be paired is refused; other members are counted.
"""

from __future__ import annotations

import re
import tarfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO

from promptbench.data.cards import misnamed
from promptbench.data.images.formats import IMAGE_EXTENSIONS, MOST_IMAGE
from promptbench.data.layouts import findings, walk
from promptbench.data.layouts.files import safe
from promptbench.errors import UserError

IMAGES = frozenset(IMAGE_EXTENSIONS)
OTHER_IMAGES = frozenset({"heic", "heif", "ico", "jxl", "svg"})  # shards do not hold these
_LABEL = re.compile(rb"\+?[0-9]{1,9}")
_LONGEST_LABEL = 64  # bytes
_BLOCK = 1 << 20


class DamagedTar(UserError):
    """The file is not a tar, or not a whole one."""


@dataclass(frozen=True, slots=True)
class TarPlace:
    """Where an image lies."""

    tar: Path
    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class Member:
    """A sample of a tar; `image` is the name of its image."""

    key: str
    label: int
    place: TarPlace
    image: str


@dataclass
class TarContents:
    """What a tar holds: samples in the order of their images, and how many members of each
    suffix are none."""

    samples: list[Member]
    unread: Counter[str]


@dataclass
class _Found:
    path: Path
    images: dict[str, tuple[str, TarPlace]] = field(default_factory=dict)  # key -> (name, place)
    labels: dict[str, tuple[str, int]] = field(default_factory=dict)  # key -> (name, label)
    foreign: list[str] = field(default_factory=list)  # images that shards do not hold
    unread: Counter[str] = field(default_factory=Counter)
    last: str = "its beginning"


def read(path: Path) -> TarContents:
    """The samples of a tar.

    Raises:
        Damaged: not a tar, or one that is cut, damaged or followed by something else.
        UserError: a name that leaves its folder, a key that occurs twice, an image or a label that
            pairs with nothing, a `.cls` that is not a class index; with the tar and the member.
    """
    found = _Found(path)
    try:
        if what := misnamed.described(path, "tar"):
            raise DamagedTar(f"{path} is not a plain tar, it is {what}")
        size = path.stat().st_size
        with tarfile.open(path, "r:") as tar:
            for member in tar:
                if member.offset_data + member.size > size:
                    raise tarfile.ReadError("unexpected end of data")
                if not member.isdir():
                    _take(found, tar, member)
            end = tar.offset
        with path.open("rb") as file:
            _check_end(file, end)
    except (tarfile.TarError, OSError, EOFError, ValueError) as error:
        raise DamagedTar(f"{path} is damaged after {found.last}: {error}") from error
    _refuse_unpaired(found)
    samples = [
        Member(key, found.labels[key][1], place, name)
        for key, (name, place) in found.images.items()
    ]
    return TarContents(samples, found.unread)


def _take(found: _Found, tar: tarfile.TarFile, member: tarfile.TarInfo) -> None:
    path = found.path
    if not member.isreg() or member.issparse():
        raise UserError(
            f"{path}: refused {member.name!r}: links, devices and sparse files have no place in it"
        )
    name = PurePosixPath(safe(member.name, str(path)))
    if walk.is_leftover(name.name, False) or any(
        walk.is_leftover(p, True) for p in name.parts[:-1]
    ):
        found.unread[walk.LEFTOVER] += 1
        return
    key, suffix = str(name.with_suffix("")), name.suffix.lower().removeprefix(".")
    found.last = f"sample {key}"
    if suffix in IMAGES:
        if member.size > MOST_IMAGE:
            raise UserError(
                f"{path}: the image {name} has {member.size} bytes, more than the "
                f"{MOST_IMAGE // 2**20} MiB that an image may have"
            )
        place = TarPlace(path, member.offset_data, member.size)
        _once(found.images, key, name, path)
        found.images[key] = (str(name), place)
    elif suffix == "cls":
        file = tar.extractfile(member)
        _once(found.labels, key, name, path)
        found.labels[key] = (str(name), _label(file, name, path))
    elif suffix in OTHER_IMAGES:
        found.foreign.append(str(name))
    else:
        found.unread[name.suffix or "no suffix"] += 1


def _once(
    known: Mapping[str, tuple[str, object]], key: str, name: PurePosixPath, path: Path
) -> None:
    if key in known:
        raise UserError(
            f"{path}: the key {key} occurs twice, as {known[key][0]} and as {name}; "
            "a sample has one image and one .cls"
        )


def _label(file: IO[bytes] | None, name: PurePosixPath, path: Path) -> int:
    text = file.read(_LONGEST_LABEL + 1).strip() if file is not None else b""
    if _LABEL.fullmatch(text):
        return int(text)
    what = repr(text.decode(errors="replace")[:20])
    if text.startswith(b"-") and _LABEL.fullmatch(text[1:]):
        raise UserError(
            f"{path}: {name} says {what}, which is the mark of a sample without label; "
            "leave such samples out"
        )
    raise UserError(
        f"{path}: {name} says {what}, but a class index is expected: 0, 1, 2 ...; class names "
        "belong into classnames.txt beside the tars, one a line, in the order of the indices"
    )


def _check_end(file: IO[bytes], end: int) -> None:
    """After the last member come zeros only: the end mark of a tar, and padding."""
    file.seek(end)
    block = file.read(_BLOCK)
    if not block:
        raise tarfile.ReadError("it has no end mark, so it may have been cut; write it again")
    while block:
        if block.strip(b"\0"):
            raise tarfile.ReadError(
                f"{file.seek(0, 2) - end} bytes follow that are not its members (tars that were "
                "joined by `cat` must be unpacked and written as one)"
            )
        block = file.read(_BLOCK)


def _refuse_unpaired(found: _Found) -> None:
    bare = [name for key, (name, _) in found.images.items() if key not in found.labels]
    empty = [name for key, (name, _) in found.labels.items() if key not in found.images]
    problems = [
        f"{_images(len(names))} {what}, the first is {names[0]}"
        for names, what in (
            (found.foreign, "of a kind that shards do not hold (they hold jpg, png, webp ...)"),
            (bare, "without a label, which is a .cls of the same name"),
        )
        if names
    ]
    if empty:
        labels = f"{len(empty)} labels" if len(empty) > 1 else "1 label"
        problems.append(f"{labels} (.cls) without an image of the same name, e.g. {empty[0]}")
    if problems:
        raise UserError(
            f"{found.path} holds {len(set(found.images) & set(found.labels))} samples, but also "
            f"{'; '.join(problems)}{_beside(found.unread)}. Nothing is left out silently: give "
            "each sample one image <key>.jpg and its class index <key>.cls"
        )


def _images(count: int) -> str:
    return f"{count} images" if count > 1 else "1 image"


def _beside(unread: Counter[str]) -> str:
    return f" ({summary(unread)} are not read)" if unread else ""


def summary(unread: Counter[str]) -> str:
    """How many members of each suffix were not read, in words."""
    return ", ".join(findings.counted(kind, count) for kind, count in sorted(unread.items()))
