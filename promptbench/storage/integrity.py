"""Noticing damage: hashes beside finished files and around checkpoints; damaged ones move aside.

A finished folder has a file SHA256SUMS (`sha256sum -c SHA256SUMS` reads it). It is written before
the file whose presence means "finished", so that a kill in between leaves an unfinished folder.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from promptbench.storage import reading
from promptbench.storage.files import file_sha256, write_whole
from promptbench.support.progress import Reporter

SUMS = "SHA256SUMS"
_MOST_SUMS = 2**20
_SEAL = b"promptbench-sealed/1 "


class Damaged(ValueError):
    """Bytes that are not those which were written."""


def write_sums(folder: Path, digests: Mapping[str, str]) -> None:
    """Note the SHA-256 of files by their names relative to `folder`."""
    text = "".join(f"{digest}  {name}\n" for name, digest in sorted(digests.items()))
    write_whole(folder / SUMS, text.encode())


def listed(folder: Path) -> dict[str, str]:
    """SHA-256 by file name, as SHA256SUMS says; empty without one.

    Raises:
        UserError: it cannot be read, or is too large to be one.
    """
    path = folder / SUMS
    if not reading.is_file(path, "the hashes"):
        return {}
    data = reading.read_bytes(path, _MOST_SUMS, "the hashes")
    return {line[66:]: line[:64] for line in data.decode("utf-8", "replace").splitlines()}


def damage(folder: Path, last: str) -> str | None:
    """The first file that is missing or not as SHA256SUMS says; None if all are.

    `last` must be among them. Hashes are remembered while size and time stamp of a file stay.

    Raises:
        UserError: as `listed`, or one of the files cannot be read.
    """
    if not reading.is_file(folder / SUMS, "the hashes"):
        return f"{SUMS} is missing"
    digests = listed(folder)
    if last not in digests:
        return f"{SUMS} does not list {last}"
    for name, digest in digests.items():
        if "\0" in name or Path(name).is_absolute() or ".." in Path(name).parts:
            return f"{SUMS} lists {name!r}, which is not a file of this folder"
        if not reading.is_file(folder / name, "the file"):
            return f"{name} is {'not a file' if reading.exists(folder / name) else 'missing'}"
        if hash_of(folder / name) != digest:
            return f"{name} has changed (sha256 differs)"
    return None


def hash_of(path: Path) -> str:
    """The SHA-256 of a file, as `files.file_sha256` remembers it.

    Raises:
        UserError: it cannot be read, with its path.
    """
    try:
        return file_sha256(path)
    except OSError as error:
        raise reading.unreadable(path, "the file", error) from error


def sealed(data: bytes) -> bytes:
    """`data` behind a line with its hash."""
    return _SEAL + hashlib.sha256(data).hexdigest().encode() + b"\n" + data


def unsealed(content: bytes) -> bytes:
    """What `sealed` was given.

    Raises:
        Damaged: no seal, or one that does not fit.
    """
    head, _, data = content.partition(b"\n")
    if not head.startswith(_SEAL):
        raise Damaged("it has no seal")
    if head[len(_SEAL) :] != hashlib.sha256(data).hexdigest().encode():
        raise Damaged("its hash differs")
    return data


def set_aside(path: Path, why: str, listener: Reporter) -> None:
    """Rename a damaged file, so that it is computed again and can still be looked at."""
    number = 1
    while (kept := path.with_name(f"{path.name}.damaged-{number}")).exists():
        number += 1
    path.replace(kept)
    listener.message(f"{path} is damaged: {why}; moved to {kept.name}, computed again")
