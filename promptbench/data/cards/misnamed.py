"""What a file is when it is not what its name says, and what to do about it.

Archives are renamed by hand, saved from error pages, or left as pointers by version control; the
libraries that read them then speak of damage. Their first bytes say what happened.
"""

from __future__ import annotations

from pathlib import Path

_HEAD = 512  # bytes; the header of a tar's first member
_TAR_MAGIC = slice(257, 262)
_UNPACK = "unpack it first"
_KINDS: tuple[tuple[bytes, str, str], ...] = (
    (b"\x1f\x8b", "a gzip file", "unpack it first (gunzip)"),
    (b"BZh", "a bzip2 file", "unpack it first (bunzip2)"),
    (b"\xfd7zXZ\x00", "an xz file", "unpack it first (unxz)"),
    (b"\x28\xb5\x2f\xfd", "a zstd file", "unpack it first (unzstd)"),
    (b"\x04\x22\x4d\x18", "an lz4 file", "unpack it first (unlz4)"),
    (b"PK\x03\x04", "a zip archive", "unpack it first (unzip)"),
    (b"PK\x05\x06", "an empty zip archive", "look for the right file"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", _UNPACK),
    (b"Rar!\x1a\x07", "a rar archive", _UNPACK),
    (b"PAR1", "a parquet file", "read its folder with hf:"),
    (b"ARROW1", "an Arrow file", "read the folder of `save_to_disk` with hf:"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file", "write its images as files or as tars first"),
    (
        b"version https://git-lfs.github.com/spec/",
        "a Git LFS pointer, not the content",
        "fetch the content (git lfs pull)",
    ),
    (
        b"/annex/objects/",
        "a git-annex pointer, not the content",
        "fetch the content (git annex get)",
    ),
)
_PAGES = (b"<!doctype html", b"<html", b"<?xml", b"<error")


def described(path: Path, wanted: str) -> str | None:
    """What a file is and what to do, None if it may well be what is `wanted`.

    `wanted` is "tar", "parquet", "arrow" or "text".

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD)
    kind = _kind(head, text_is_strange=wanted != "text")
    if kind is None or wanted in kind[0].lower().split():
        return None
    return f"{kind[0]}; {kind[1]}"


def _kind(head: bytes, text_is_strange: bool) -> tuple[str, str] | None:
    if not head:
        return ("empty (0 bytes)", "fetch or write it again") if text_is_strange else None
    if head[_TAR_MAGIC] == b"ustar":
        return "a tar archive", "read its folder with wds:"
    for magic, what, remedy in _KINDS:
        if head.startswith(magic):
            return what, remedy
    if head.removeprefix(b"\xef\xbb\xbf").lstrip().lower().startswith(_PAGES):
        return (
            "a web page (an error, or a page to log in)",
            "fetch the file itself, from the address that its owners name",
        )
    if text_is_strange and _is_text(head):
        start = " ".join(head.decode(errors="ignore").split())[:40]
        return f"a text that begins with {start!r}", "fetch or write it again"
    return None


def _is_text(head: bytes) -> bool:
    try:
        text = head.decode()
    except UnicodeDecodeError as error:  # perhaps cut inside a letter
        if error.start < len(head) - 3 or len(head) < _HEAD:
            return False
        text = head[: error.start].decode()
    return all(letter.isprintable() or letter in "\r\n\t" for letter in text)
