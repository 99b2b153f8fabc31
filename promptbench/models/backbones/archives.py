"""Archives of tensors, looked at from outside: what kind they are, their source text, and whether
reading them could take more memory or time than their size says. Nothing in them is run.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from pathlib import Path
from typing import IO

from promptbench.models.backbones import pickles

_MOST_CODE = 64 * 2**20  # bytes of source text in an archive
# bytes of all compressed members, unpacked; tensors are never compressed
_MOST_PACKED = 256 * 2**20
_OLD_PICKLES = 5

BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError)  # not a zip


class RefusedArchive(ValueError):
    """The archive wants something that tensors do not need."""


def is_archive(path: Path) -> bool:
    """Whether the file is a TorchScript archive, as OpenAI publishes its weights."""
    try:
        with zipfile.ZipFile(path) as archive:
            return any("/code/" in name for name in archive.namelist())
    except zipfile.BadZipFile:
        return False


def check(file: Path | IO[bytes], size: int) -> None:
    """Refuse a zip archive that would unpack to much more than the `size` bytes that it has.

    Raises:
        RefusedArchive: compressed members of many bytes, members that share their bytes, two of a
            name, or a pickle that takes too long to read.
        zipfile.BadZipFile: a damaged archive.
    """
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
    packed = sum(m.file_size for m in members if m.compress_type != zipfile.ZIP_STORED)
    if packed > _MOST_PACKED:
        raise RefusedArchive(f"its compressed parts would unpack to {packed / 2**20:,.0f} MiB")
    if sum(m.file_size for m in members) - packed > size:
        raise RefusedArchive(
            "its parts share their bytes, so that it would unpack to more than it holds"
        )
    if len({m.filename for m in members}) < len(members):
        raise RefusedArchive("two of its parts have one name")
    with zipfile.ZipFile(file) as archive:
        for member in members:
            if member.filename.endswith("/data.pkl"):
                _weigh(io.BytesIO(archive.read(member)))


def check_old_form(path: Path) -> None:
    """The same for a file of the form before 1.6, which begins with pickles of a mark, a version,
    the system, the content and the names of its storages.

    Raises:
        RefusedArchive: one of them takes too long to read.
        ValueError, IndexError, KeyError: it is damaged.
    """
    with path.open("rb") as file:
        for _ in range(_OLD_PICKLES):
            _weigh(file)


def _weigh(file: IO[bytes]) -> None:
    try:
        pickles.weigh(file)
    except pickles.TooHeavy as error:
        raise RefusedArchive(f"{error}; save its state dict only (torch.save)") from error


def code(path: Path) -> str:
    """The archive's source text, to be looked at."""
    with zipfile.ZipFile(path) as archive:
        members = [info for info in archive.infolist() if info.filename.endswith(".py")]
        if sum(info.file_size for info in members) > _MOST_CODE:
            raise RefusedArchive("its source text is larger than 64 MiB")
        return "\n".join(archive.read(info).decode("utf-8", "replace") for info in members)
