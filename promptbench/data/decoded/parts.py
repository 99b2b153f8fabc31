"""Files of decoded images, each written whole and never changed.

A part holds some images of one shard under one transform:

    images     uint8 [n, 3, size, size], one after the other, as an array that could be mapped
    list       JSON behind its hash: what the pixels hang on; of each image where it lies in the
               shard (offset, size) and the CRC-32 of its pixels
    end        16 bytes: a mark and the length of the list

Each image is compared with its CRC whenever it is read: a check of all bytes that takes a third of
SHA-256's time with its own instructions, and far less without. It finds damage; it is not meant to
stop whoever may write into the cache, who could as well write another hash.

Images are read (pread) into the batch, not mapped: whoever looks at a map of a file that is cut
off, or removed by another host, or whose medium fails, is ended by a signal, where a read fails and
the image is decoded instead. The copy that this costs would be made anyway, by the batch.
"""

from __future__ import annotations

import json
import os
import struct
import sys
import threading
import zlib
from contextlib import suppress
from io import BufferedReader
from pathlib import Path
from typing import IO, Any, Self

from promptbench.data.images.transforms import Levels
from promptbench.storage import integrity
from promptbench.storage.integrity import Damaged
from promptbench.storage.reading import parse_json

if sys.platform != "win32":
    import fcntl

FORMAT = "promptbench-images/1"
_END = struct.Struct("<8sQ")
_MARK = b"pbimages"
_MOST_LIST = 2**28  # bytes; an image takes some 30, and a shard holds a few thousand

Place = tuple[int, int]  # of an encoded image in its shard: offset and size in bytes


class Part:
    """An open part. While it is open, `folder` does not remove it to make room."""

    def __init__(self, path: Path, facts: dict[str, Any], shape: tuple[int, int, int]) -> None:
        """Open a part and read its list.

        Raises:
            Damaged: it is not a part of these facts, or not all of it.
            OSError: it cannot be read, or is gone.
        """
        self.path, self._slot = path, shape[0] * shape[1] * shape[2]
        self._file, self._turn = path.open("rb"), threading.Lock()
        try:
            hold(self._file)
            rows = self._list(facts)
        except BaseException:
            self._file.close()
            raise
        self.rows: dict[Place, int] = {(a, b): row for row, (a, b, _) in enumerate(rows)}
        self._sums = [crc for _, _, crc in rows]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def read_into(self, row: int, levels: Levels) -> None:
        """Fill uint8 [3, size, size] with an image; it may be called from several threads.

        Raises:
            Damaged: the bytes are not those that were written.
            OSError: they cannot be read.
        """
        count = self._fill(levels.reshape(-1).data, row * self._slot)
        if count != self._slot:
            raise Damaged("it is cut off")
        if zlib.crc32(levels.data) != self._sums[row]:
            raise Damaged(f"image {row} is not as it was written")

    def _fill(self, into: memoryview, offset: int) -> int:
        if hasattr(os, "preadv"):
            return os.preadv(self._file.fileno(), [into], offset)
        with self._turn:  # Windows: the place in the file is common to all threads
            self._file.seek(offset)
            return self._file.readinto(into)

    def _list(self, facts: dict[str, Any]) -> list[tuple[int, int, int]]:
        size = os.fstat(self._file.fileno()).st_size
        self._file.seek(max(size - _END.size, 0))
        end = self._file.read()
        if len(end) != _END.size:
            raise Damaged("it is cut off")
        mark, length = _END.unpack(end)
        if mark != _MARK or length > min(_MOST_LIST, size - _END.size):
            raise Damaged("its end is missing")
        self._file.seek(size - _END.size - length)
        try:
            found = parse_json(integrity.unsealed(self._file.read(length)))
            rows = [(int(a), int(b), int(c)) for a, b, c in found["images"]]
        except (ValueError, TypeError, KeyError) as error:
            raise Damaged(f"its list: {error}") from error
        if (found.get("format"), found.get("facts")) != (FORMAT, facts):
            raise Damaged("it is of other images")
        if len(rows) * self._slot + length + _END.size != size:
            raise Damaged("it has another length than its list says")
        return rows


class Writer:
    """Writes a part into an open file, image by image."""

    def __init__(self, file: IO[bytes], facts: dict[str, Any], shape: tuple[int, int, int]) -> None:
        self._file, self._facts = file, facts
        self._slot = shape[0] * shape[1] * shape[2]
        self._rows: list[tuple[int, int, int]] = []

    def add(self, place: Place, levels: Levels) -> None:
        """Append an image, uint8 [3, size, size]."""
        self._file.write(levels.reshape(-1).data)
        self._rows.append((*place, zlib.crc32(levels.data)))

    def finish(self) -> None:
        """Write the list of what was added as a whole."""
        self._file.seek(len(self._rows) * self._slot)  # an image that was interrupted is left out
        self._file.truncate()
        facts = {"format": FORMAT, "facts": self._facts, "images": self._rows}
        data = integrity.sealed(json.dumps(facts, sort_keys=True).encode())
        self._file.write(data + _END.pack(_MARK, len(data)))


def hold(file: BufferedReader) -> None:
    """Mark an open file as in use.

    The lock is seen on this machine, and over NFS. Where it is not, or cannot be taken, a file may
    be removed that is in use: its reader then decodes. Windows removes no open file.
    """
    if sys.platform == "win32":
        return
    with suppress(OSError):
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)


def is_free(file: BufferedReader) -> bool:
    """Whether nobody is seen to use a file; from then on nobody else removes it."""
    if sys.platform == "win32":
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    return True
