"""Records in outline, as verdicts hold them, so that not all whole records are in memory.

What the bytes of a record's file come to is remembered under their hash: of bytes that were read
before nothing is parsed. The whole record is read again where a page or a comparison needs it.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from promptbench import records as store
from promptbench.errors import UserError
from promptbench.mixing.outlines import Digests, Kinds, Outline, parted, with_confusions
from promptbench.records import Record, subset
from promptbench.storage import reading, remembered
from promptbench.storage.remembered import Remembered
from promptbench.support.safe_text import shown_path


class Outlines:
    """Makes outlines, of which those of one kind share an object; `memory` knows those of files
    that were read before."""

    def __init__(self, memory: Remembered | None = None) -> None:
        self._memory = memory
        self._kinds = Kinds()
        self._texts: dict[str, str] = {}  # of kinds, by digest

    def get(self, sha256: str, folder: Path) -> Outline | None:
        """The outline of the record in a folder, whose file has this SHA-256; None where it is not
        known.

        Raises:
            UserError: few-shot keys that stand beside the record are missing, or others.
        """
        found = self._memory.get(_key(sha256)) if self._memory is not None else None
        if found is None:
            return None
        kind, own, told, keys = json.loads(found)
        text = self._text(kind)
        if text is None:
            return None
        if keys is not None:
            subset.read(folder, keys)
        return self._kinds.of(text, own).told(sha256, Digests(*told))

    def knows(self, path: Path) -> bool:
        """Whether the outline of a file's record is known."""
        digest = store.digest_of(path) if self._memory is not None else None
        return bool(digest and self._memory and self._memory.get(_key(digest)) is not None)

    def of(self, record: Record, sha256: str, keys: str | None) -> Outline:
        """The outline of a whole record, whose file has this SHA-256 and gives `keys` as that of
        few-shot keys beside it."""
        text, own = parted(record)
        told = with_confusions(record)
        if self._memory is not None:
            kind = hashlib.sha256(text.encode()).hexdigest()
            if self._text(kind) is None:
                self._memory.put(_key_of_kind(kind), text)
            self._memory.put(_key(sha256), json.dumps([kind, own, told, keys]))
        return self._kinds.of(text, own).told(sha256, told)

    def _text(self, kind: str) -> str | None:
        if kind not in self._texts:
            found = self._memory.get(_key_of_kind(kind)) if self._memory is not None else None
            if found is None:
                return None
            self._texts[kind] = found
        return self._texts[kind]


def whole(path: Path, record: Record) -> Record:
    """The whole record of a file, of which an outline may be at hand.

    Raises:
        UserError: the file is not the one that the outline was found in any more.
    """
    if not isinstance(record, Outline):
        return record
    return read(path, record.file_sha256)


def read(path: Path, sha256: str) -> Record:
    """The whole record of a file with this SHA-256, which was found to be a valid one.

    Raises:
        UserError: it is another file.
    """
    data = reading.read_bytes(path, store.MOST_BYTES, "the record")
    if hashlib.sha256(data).hexdigest() != sha256:
        raise UserError(f"{shown_path(path)} was changed after it was verified; start again")
    return subset.filled(store.parsed_again(data), path.parent)


def _key(sha256: str) -> str:
    return remembered.key_of("outline of a record", sha256)


def _key_of_kind(digest: str) -> str:
    return remembered.key_of("kind of records", digest)
