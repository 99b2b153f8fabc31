"""Whether a file is the one that a card describes, by whatever the card knows of it."""

from __future__ import annotations

import hashlib
from pathlib import Path

from promptbench.data.cards.cards import Archive
from promptbench.support.progress import Reporter

_BLOCK = 1 << 22


def has_checksum(archive: Archive) -> bool:
    """Whether the card knows a checksum of a file."""
    return {archive.sha256, archive.md5, archive.git_blob or "unknown"} != {"unknown"}


def difference(path: Path, archive: Archive, listener: Reporter) -> str | None:
    """Return how a file differs from what the card says; None if it does not, or nothing is known.

    Every checksum that the card holds is compared; each is of the whole file.
    """
    size = path.stat().st_size
    if archive.bytes not in ("unknown", size):
        return f"it has {size} bytes, the card says {archive.bytes}"
    known = {
        "sha256": (archive.sha256, hashlib.sha256()),
        "md5": (archive.md5, hashlib.md5(usedforsecurity=False)),
        "git blob": (
            archive.git_blob or "unknown",
            hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False),
        ),
    }
    known = {name: pair for name, pair in known.items() if pair[0] != "unknown"}
    if not known:
        return None
    with (
        path.open("rb") as file,
        listener.task(f"check {archive.file}", round(size / 2**20), "MiB") as task,
    ):
        done = 0
        while block := file.read(_BLOCK):
            for _, digest in known.values():
                digest.update(block)
            before, done = done, done + len(block)
            task.advance((done >> 20) - (before >> 20))
    for name, (expected, digest) in known.items():
        if digest.hexdigest() != expected:
            return f"its {name} is {digest.hexdigest()}, the card says {expected}"
    return None
