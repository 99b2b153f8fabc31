"""A disk that can be filled."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def small(folder: Path, kib: int) -> Iterator[Path]:
    """A file system of its own in a folder; yields a file that fills it but for `kib`."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "none", str(folder)]
    if subprocess.run(mount, stderr=subprocess.DEVNULL).returncode:
        pytest.skip("a disk that can be filled takes a mount, not allowed here")
    try:
        filler = folder / ".filler"
        filler.write_bytes(bytes((4096 - kib) * 1024))
        yield filler
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
