"""Walking folders of images: through links that stay inside, past leftovers of systems; every other
file is reported.

A file is an image by its suffix, or by its content if it has none that says so.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePath

from PIL import Image

from promptbench.data.images import formats
from promptbench.data.layouts.fence import Fence
from promptbench.data.layouts.files import SUFFIXES, stamp_of
from promptbench.data.layouts.findings import Findings
from promptbench.errors import UserError

LEFTOVER = "leftover(s) of systems and hidden names"
NOT_AN_IMAGE = "file(s) other than images"
BY_CONTENT = "image(s) known by content, without a suffix of images"
_COPY = "file(s) of editors or unfinished downloads"
_SPECIAL = "special file(s), such as a pipe, a socket or a device"

# What NAS boxes, operating systems and tools leave in folders of others; lower case.
_LEFTOVER_FOLDERS = frozenset(
    {
        "__macosx", "__pycache__", "lost+found", "$recycle.bin", "#recycle", "#snapshot",
        "system volume information", "network trash folder", "temporary items",
    }
)  # fmt: skip
_LEFTOVER_FILES = frozenset(
    {"thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", "icon\r", "zbthumbnail.info"}
)
_COPIES = frozenset(
    {
        ".bak", ".old", ".orig", ".tmp", ".temp", ".part", ".partial", ".crdownload", ".download",
        ".swp", ".thm",
    }
)  # fmt: skip
# Photographs that shards do not hold. The raw ones begin as a TIFF does, with a thumbnail inside.
_RAW = frozenset(
    {
        ".3fr", ".arw", ".cr2", ".cr3", ".dcr", ".dng", ".erf", ".kdc", ".mrw", ".nef", ".nrw",
        ".orf", ".pef", ".raf", ".rw2", ".sr2", ".srw", ".x3f",
    }
)  # fmt: skip
_FOREIGN = frozenset(
    {
        ".heic", ".heif", ".hif", ".jxl", ".jxr", ".pfm", ".tga", ".dds", ".exr", ".hdr", ".dcm",
        ".qoi", ".pcx", ".sgi", ".ras", ".fits", ".ico", ".psd",
    }
)  # fmt: skip
_FOREIGN_REMEDY = "convert them to PNG or JPEG, or move them elsewhere"


@dataclass
class FolderContents:
    """The images below a folder, as (path relative to the base, stamp), and how many other files
    there are."""

    images: list[tuple[str, str]] = field(default_factory=list)
    others: int = 0


@dataclass(frozen=True)
class Level:
    """What lies directly in a folder; without leftovers, and links that lead nowhere or outside."""

    folders: list[Path]
    files: list[tuple[Path, os.stat_result]]


def level(fence: Fence, folder: Path, findings: Findings) -> Level:
    """The folders and files in a folder, by name.

    Raises:
        UserError: the folder cannot be read.
    """
    folders, files = [], []
    for entry in _entries(folder):
        path, name = Path(entry.path), relative(fence.own, Path(entry.path))
        state = _state(entry)
        mode = state.st_mode if state else 0
        if is_leftover(entry.name, stat.S_ISDIR(mode)):
            findings.left_out(LEFTOVER, name)
        elif state is None:
            remedy = "restore what they lead to, or remove them"
            findings.lost("broken link(s)", remedy, f"{name} (to {_target(path)})")
        elif entry.is_symlink() and (place := fence.outside(path)):
            allowed = place if stat.S_ISDIR(mode) else place.parent
            findings.outside("link(s) out of the source", allowed, f"{name} (to {place})")
        elif stat.S_ISDIR(mode):
            folders.append(path)
        elif stat.S_ISREG(mode):
            files.append((path, state))
        else:
            findings.lost(_SPECIAL, "remove them", name)
    return Level(folders, files)


def contents(fence: Fence, folder: Path, findings: Findings) -> FolderContents:
    """All images below a folder, by path.

    Raises:
        UserError: a folder that cannot be read, a link that would list images twice or for ever.
    """
    found, base = FolderContents(), fence.own
    for path, state in _files_below(fence, folder, findings):
        if is_image(base, path, state.st_size, findings):
            found.images.append((relative(base, path), stamp_of(state)))
        else:
            found.others += 1
    found.images.sort(key=lambda image: image[0].replace("/", os.sep))
    return found


def refuse_what_leads_out(fence: Fence) -> None:
    """Refuse a folder that a library is going to read by itself, if a link in it leads out of the
    source, or if it holds a pipe, a socket or a device.

    Raises:
        UserError: how many of them there are, and the first.
    """
    findings, stack, seen = Findings(str(fence.own)), [fence.own], {_identity(fence.own)}
    while stack:
        for sub in reversed(level(fence, stack.pop(), findings).folders):
            if (identity := _identity(sub)) not in seen:
                seen.add(identity)
                stack.append(sub)
    findings.refuse_lost()


def is_image(base: Path, path: Path, size: int, findings: Findings) -> bool:
    """Whether a file is an image that shards hold; what it is otherwise goes into the findings."""
    suffix, name = path.suffix.lower(), relative(base, path)
    if suffix in SUFFIXES:
        if size == 0:
            findings.lost("empty image file(s)", "get the images again, or remove them", name)
        return size > 0
    if suffix in _COPIES or path.name.endswith("~"):
        findings.left_out(_COPY, name)
    elif suffix not in _RAW and _holds_image(path):
        findings.note(BY_CONTENT, name)
        return True
    elif suffix in _RAW | _FOREIGN:
        findings.lost("image(s) in formats that shards do not hold", _FOREIGN_REMEDY, name)
    else:
        findings.left_out(NOT_AN_IMAGE, name, suffix or "no suffix")
    return False


def tell_loose(base: Path, inside: Level, findings: Findings) -> None:
    """Note the files of a folder whose folders are classes or splits: none of them is read."""
    for path, _ in inside.files:
        name, suffix = relative(base, path), path.suffix.lower()
        if suffix in SUFFIXES or _holds_image(path):
            findings.left_out("image(s) outside of class folders", name)
        else:
            findings.left_out(NOT_AN_IMAGE, name, suffix or "no suffix")


def is_leftover(name: str, is_folder: bool) -> bool:
    """Whether a name is one that systems and tools leave behind, or hidden."""
    if name.startswith("."):
        return True
    if is_folder:  # @eaDir, @Recycle and their kind are a NAS's
        return name.startswith("@") or name.lower() in _LEFTOVER_FOLDERS
    return name.lower() in _LEFTOVER_FILES


def relative(base: Path, path: PurePath) -> str:
    """A path below the base, with slashes."""
    return os.path.relpath(path, base).replace(os.sep, "/")


def _files_below(
    fence: Fence, folder: Path, findings: Findings
) -> Iterator[tuple[Path, os.stat_result]]:
    base = fence.own
    seen = {_identity(folder): folder}
    stack = [folder]
    while stack:
        found = level(fence, stack.pop(), findings)
        yield from found.files
        for sub in reversed(found.folders):
            _refuse_ancestor(base, folder, sub)
            other = seen.setdefault(_identity(sub), sub)
            if other != sub:
                raise UserError(
                    f"{base}: {relative(base, sub)} and {relative(base, other)} are the same "
                    "folder, whose images would count twice; remove the link"
                )
            stack.append(sub)


def _refuse_ancestor(base: Path, folder: Path, sub: Path) -> None:
    if sub.is_symlink() and folder.resolve().is_relative_to(target := sub.resolve()):
        raise UserError(
            f"{base}: the link {relative(base, sub)} leads to {target}, which holds "
            f"{relative(base, folder)} itself; remove the link"
        )


def _identity(folder: Path) -> tuple[int, int]:
    state = folder.stat()
    return state.st_dev, state.st_ino


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise UserError(f"cannot read the folder {folder}: {error.strerror}") from error


def _target(link: Path) -> str:
    try:
        return str(link.readlink())
    except OSError as error:
        return str(error.strerror)


def _state(entry: os.DirEntry[str]) -> os.stat_result | None:
    """The state of what an entry leads to, None for a link that leads nowhere."""
    try:
        return entry.stat()
    except OSError as error:
        if entry.is_symlink():
            return None
        raise UserError(f"cannot read {entry.path}: {error.strerror}") from error


def _holds_image(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            head = file.read(formats.HEAD)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    if not formats.is_image(head):
        return False
    try:
        with Image.open(path):  # some texts begin as an image does
            return True
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return False
